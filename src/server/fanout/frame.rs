//! Frames: encoded payload that followers share, with room for the framing of their responses.
//!
//! An encoder appends payload to a [`PayloadBuffer`], once for all followers of a format. Each
//! outlet then takes the bytes of its framing from the [`PayloadFrame`]. They are the same memory
//! for all outlets, unless an unframed one needs several pieces.

use std::cell::OnceCell;
use std::rc::Rc;

use crate::server::exchange::buffer_pool;
use crate::server::exchange::checksum::Checksum;
use crate::server::exchange::response::{ChunkHead, Framing};

/// Length of the head that is reserved for each piece after the first one: three digits, for pieces
/// of 256 to 4,095 bytes. The payload of other pieces is moved.
const USUAL_HEAD_BYTES: usize = 5;

/// Spare memory that every frame may have, in bytes. Beyond it, a frame that waits for full sockets
/// should not be much larger than its content.
const SPARE_BYTES: usize = 4 * 1024;

/// The framing after each piece.
const PIECE_END: &[u8] = b"\r\n";

/// Encoded payload, in pieces. HTTP/1.1 sends each piece as a chunk.
#[derive(Debug, Default)]
pub(super) struct PayloadFrame {
    /// The pieces as chunks, from `chunks_from` on.
    bytes: Vec<u8>,
    chunks_from: usize,
    payload: Payload,
    /// Checksum of the payload before it was compressed; only of compressed formats.
    checksum: Checksum,
}

/// Where the payload of a frame is, without framing.
#[derive(Debug)]
enum Payload {
    /// In one piece, in the range of the frame's bytes that begins and ends here.
    Piece(usize, usize),
    /// In several pieces, which the first unframed outlet joins to this frame.
    Pieces(OnceCell<Rc<PayloadFrame>>),
}

/// Where an encoder appends payload, piece by piece.
#[derive(Debug)]
pub struct PayloadBuffer {
    bytes: Vec<u8>,
    /// Begin of the first chunk.
    chunks_from: usize,
    pieces: usize,
    /// All payload becomes one piece.
    joins_pieces: bool,
}

impl Default for Payload {
    fn default() -> Self {
        Self::Piece(0, 0)
    }
}

impl PayloadFrame {
    /// A frame of bytes that are sent as they are, whatever the framing.
    pub(super) fn unframed(bytes: Vec<u8>) -> Self {
        Self {
            payload: Payload::Piece(0, bytes.len()),
            bytes,
            ..Self::default()
        }
    }

    /// True if there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Length of what is sent to most outlets.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.chunks_from
    }

    /// The frame whose memory an outlet with this framing keeps until it is sent.
    pub(super) fn for_framing(self: &Rc<Self>, framing: Framing) -> &Rc<Self> {
        match (framing, &self.payload) {
            (Framing::Raw, Payload::Pieces(joined)) => joined.get_or_init(|| self.join()),
            _ => self,
        }
    }

    /// The bytes to send with this framing.
    pub(super) fn framed(&self, framing: Framing) -> &[u8] {
        match (framing, &self.payload) {
            (Framing::Chunked, _) => &self.bytes[self.chunks_from..],
            (Framing::Raw, Payload::Piece(start, end)) => &self.bytes[*start..*end],
            (Framing::Raw, Payload::Pieces(joined)) => {
                joined.get_or_init(|| self.join()).framed(framing)
            }
        }
    }

    /// The payload without the framing of its pieces.
    fn join(&self) -> Rc<Self> {
        let mut rest = &self.bytes[self.chunks_from..];
        let mut joined = Vec::with_capacity(rest.len());
        while let Some((length, after_head)) = ChunkHead::parse(rest) {
            let (piece, after_piece) = after_head.split_at(length);
            joined.extend_from_slice(piece);
            rest = &after_piece[PIECE_END.len()..];
        }
        Rc::new(Self::unframed(joined))
    }

    /// Memory of its bytes, without those for other framings.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Memory of its bytes for all framings.
    pub(super) fn capacity_of_all(&self) -> usize {
        let joined = match &self.payload {
            Payload::Pieces(joined) => joined.get().map_or(0, |joined| joined.capacity()),
            Payload::Piece(..) => 0,
        };
        self.capacity() + joined
    }

    /// Checksum of the payload before it was compressed.
    pub(super) fn checksum(&self) -> Checksum {
        self.checksum
    }

    pub(super) fn with_checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = checksum;
        self
    }

    /// Returns the memory of its bytes to the pool.
    pub(super) fn recycle(&mut self) {
        buffer_pool::give(std::mem::take(self).bytes);
    }
}

impl PayloadBuffer {
    /// An empty buffer with room for this many bytes of payload.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let framing = ChunkHead::MAX_BYTES + PIECE_END.len();
        let mut bytes = buffer_pool::take(capacity + framing);
        bytes.resize(ChunkHead::MAX_BYTES, 0);
        Self {
            bytes,
            chunks_from: ChunkHead::MAX_BYTES,
            pieces: 0,
            joins_pieces: false,
        }
    }

    /// An empty buffer that joins all payload to one piece, for formats that compress it.
    pub(super) fn joined(capacity: usize) -> Self {
        Self {
            joins_pieces: true,
            ..Self::with_capacity(capacity)
        }
    }

    /// Appends what `write` appends to its argument as a piece. An empty piece is none.
    pub fn piece<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        if self.joins_pieces {
            return write(&mut self.bytes);
        }
        let head = self.bytes.len();
        if self.pieces > 0 {
            self.bytes.extend_from_slice(&[0; USUAL_HEAD_BYTES]);
        }
        let written = write(&mut self.bytes);
        self.end_piece(head);
        written
    }

    /// Appends a piece with this payload.
    pub fn push(&mut self, payload: &[u8]) {
        self.piece(|out| out.extend_from_slice(payload));
    }

    /// True if there is no payload.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() == ChunkHead::MAX_BYTES
    }

    /// The payload of a buffer that joins it.
    pub(super) fn joined_payload(&self) -> &[u8] {
        &self.bytes[ChunkHead::MAX_BYTES..]
    }

    /// Returns its memory to the pool.
    pub(super) fn recycle(self) {
        buffer_pool::give(self.bytes);
    }

    /// The frame of this payload.
    pub(super) fn finish(mut self) -> PayloadFrame {
        if self.is_empty() {
            self.recycle();
            return PayloadFrame::default();
        }
        if self.joins_pieces {
            self.end_piece(ChunkHead::MAX_BYTES);
        }
        let length = self.bytes.len();
        if self.bytes.capacity() - length > SPARE_BYTES.max(length / 4) {
            self.bytes.shrink_to_fit();
        }
        let payload = match self.pieces {
            1 => Payload::Piece(ChunkHead::MAX_BYTES, length - PIECE_END.len()),
            _ => Payload::Pieces(OnceCell::new()),
        };
        PayloadFrame {
            bytes: self.bytes,
            chunks_from: self.chunks_from,
            payload,
            checksum: Checksum::default(),
        }
    }

    /// Frames the piece at the end; room for its head begins at `head`. The head of the first piece
    /// is right before its payload, which therefore stays where it is.
    fn end_piece(&mut self, head: usize) {
        let is_first = self.pieces == 0;
        let start = if is_first {
            head
        } else {
            head + USUAL_HEAD_BYTES
        };
        let length = self.bytes.len() - start;
        if length == 0 {
            self.bytes.truncate(head);
            return;
        }
        let chunk_head = ChunkHead::of(length);
        let chunk_head = chunk_head.as_bytes();
        let head = if is_first {
            self.chunks_from = start - chunk_head.len();
            self.chunks_from
        } else {
            self.move_payload(start, head + chunk_head.len());
            head
        };
        self.bytes[head..head + chunk_head.len()].copy_from_slice(chunk_head);
        self.bytes.extend_from_slice(PIECE_END);
        self.pieces += 1;
    }

    /// Moves the last payload, which begins at `from`.
    fn move_payload(&mut self, from: usize, to: usize) {
        let end = self.bytes.len();
        let length = end - from;
        if to > from {
            self.bytes.resize(to + length, 0);
        }
        if to != from {
            self.bytes.copy_within(from..end, to);
            self.bytes.truncate(to + length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of pieces with these lengths, and the payload.
    fn frame(mut buffer: PayloadBuffer, lengths: &[usize]) -> (PayloadFrame, Vec<u8>) {
        let mut payload = Vec::new();
        for (letter, length) in (b'a'..).zip(lengths) {
            let piece = vec![letter; *length];
            payload.extend_from_slice(&piece);
            buffer.push(&piece);
        }
        (buffer.finish(), payload)
    }

    fn chunks(payload: &[u8]) -> Vec<u8> {
        let mut chunks = Vec::new();
        payload
            .chunk_by(|one, other| one == other)
            .for_each(|piece| Framing::Chunked.piece(piece, &mut chunks));
        chunks
    }

    #[test]
    fn each_framing_gets_the_same_payload_whatever_the_lengths_of_its_pieces() {
        const LENGTHS: [usize; 8] = [0, 1, 15, 16, 255, 256, 4095, 70_000];
        for first in LENGTHS {
            for second in LENGTHS {
                for third in LENGTHS {
                    let lengths = [first, second, third];
                    let (frame, payload) = frame(PayloadBuffer::with_capacity(0), &lengths);
                    assert_eq!(frame.framed(Framing::Raw), payload, "{lengths:?}");
                    let chunks = chunks(&payload);
                    assert_eq!(frame.framed(Framing::Chunked), chunks, "{lengths:?}");
                    assert_eq!(frame.is_empty(), payload.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_single_piece_is_shared_by_all_framings() {
        let (frame, _) = frame(PayloadBuffer::with_capacity(0), &[0, 300, 0]);
        let chunk = frame.framed(Framing::Chunked);
        let payload = frame.framed(Framing::Raw);
        assert_eq!(chunk[5..].as_ptr(), payload.as_ptr());
        assert_eq!(frame.capacity(), frame.bytes.capacity());
    }

    #[test]
    fn joined_pieces_are_one_chunk() {
        let (frame, payload) = frame(PayloadBuffer::joined(0), &[3, 0, 4]);
        assert_eq!(frame.framed(Framing::Chunked), b"7\r\naaacccc\r\n");
        assert_eq!(frame.framed(Framing::Raw), payload);
    }

    #[test]
    fn unframed_outlets_share_one_copy_and_keep_only_that() {
        let (frame, payload) = frame(PayloadBuffer::with_capacity(0), &[10, 20]);
        let frame = Rc::new(frame);
        let [first, second] = [(); 2].map(|()| Rc::clone(frame.for_framing(Framing::Raw)));
        assert!(Rc::ptr_eq(&first, &second));
        assert!(Rc::ptr_eq(frame.for_framing(Framing::Chunked), &frame));
        assert_eq!(frame.framed(Framing::Raw).as_ptr(), first.bytes.as_ptr());
        assert_eq!(frame.capacity_of_all(), frame.capacity() + first.capacity());
        drop(frame);
        assert_eq!(first.framed(Framing::Raw), payload);
    }

    #[test]
    fn large_frames_have_little_spare_memory() {
        for (capacity, length) in [
            (100_000, 10),
            (0, 300_000),
            (1_000, 1_000),
            (300_000, 200_000),
        ] {
            let mut buffer = PayloadBuffer::with_capacity(capacity);
            buffer.piece(|out| (0..length).for_each(|_| out.push(b'x')));
            let frame = buffer.finish();
            assert!(
                frame.capacity() <= length + SPARE_BYTES.max(length / 3),
                "{length}"
            );
        }
    }

    #[test]
    fn bytes_without_framing_are_sent_as_they_are() {
        let frame = PayloadFrame::unframed(b"bytes".to_vec());
        for framing in [Framing::Chunked, Framing::Raw] {
            assert_eq!(frame.framed(framing), b"bytes");
        }
    }
}
