//! Compression of websocket messages (RFC 7692; nhpm-nchan.md, section 2.8): a message is
//! compressed once for all followers. `deflate_negotiation` handles the handshake.

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::server::config::model::nchan::DeflateSettings;

/// End of every flushed block, omitted on the wire (RFC 7692, section 7.2.1).
const TAIL: &[u8] = &[0, 0, 0xff, 0xff];

/// Compresses a message without the context of earlier ones; `None` on failure.
#[must_use]
pub fn compress(text: &[u8], deflate: DeflateSettings) -> Option<Bytes> {
    let mut compressor =
        Compress::new_with_window_bits(Compression::new(deflate.level), false, deflate.window);
    let mut out = Vec::with_capacity(text.len() / 2 + 64);
    loop {
        let taken = usize::try_from(compressor.total_in()).ok()?;
        let status = compressor
            .compress_vec(text.get(taken..)?, &mut out, FlushCompress::Sync)
            .ok()?;
        let is_complete = compressor.total_in() == text.len() as u64 && out.len() < out.capacity();
        if is_complete || status == Status::StreamEnd {
            break;
        }
        out.reserve(out.len().max(256));
    }
    if out.ends_with(TAIL) {
        out.truncate(out.len() - TAIL.len());
    }
    out.shrink_to_fit();
    Some(out.into())
}

/// Appends a stream that inflates to `head` followed by the message of `body`, which comes from
/// [`compress`]. The head is stored uncompressed: heads differ between followers, and the message
/// is compressed once for all of them.
pub fn push_with_head(head: &[u8], body: &[u8], out: &mut Vec<u8>) {
    // Maximum length of a stored block (RFC 1951, section 3.2.4).
    for part in head.chunks(usize::from(u16::MAX)) {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(part);
    }
    out.extend_from_slice(body);
}

/// Decompresses the messages of one client.
#[derive(Debug)]
pub struct Inflater {
    inflater: Decompress,
    has_no_context: bool,
}

/// Why a message could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// The data is not a valid deflate stream.
    Broken,
    /// The message would exceed the limit.
    TooLarge,
}

impl Inflater {
    /// Creates an inflater; with `has_no_context`, each message is compressed independently.
    #[must_use]
    pub fn new(has_no_context: bool) -> Self {
        Self {
            inflater: Decompress::new(false),
            has_no_context,
        }
    }

    /// Decompresses a message of up to `max_bytes` bytes.
    ///
    /// # Errors
    /// The payload is invalid, or the message is too large.
    pub fn inflate(&mut self, payload: &[u8], max_bytes: usize) -> Result<Vec<u8>, InflateError> {
        if self.has_no_context {
            self.inflater.reset(false);
        }
        let input = [payload, TAIL].concat();
        let begin = self.inflater.total_in();
        let mut out = Vec::with_capacity((payload.len() * 3).clamp(256, max_bytes.max(256)));
        loop {
            let taken = usize::try_from(self.inflater.total_in() - begin)
                .map_err(|_| InflateError::Broken)?;
            let rest = input.get(taken..).unwrap_or_default();
            let status = self
                .inflater
                .decompress_vec(rest, &mut out, FlushDecompress::Sync)
                .map_err(|_| InflateError::Broken)?;
            if out.len() > max_bytes {
                return Err(InflateError::TooLarge);
            }
            if status == Status::StreamEnd {
                // A block marked as final ends the stream; the next message starts a new one.
                self.inflater.reset(false);
                return Ok(out);
            }
            if out.len() < out.capacity() {
                let is_complete = usize::try_from(self.inflater.total_in() - begin)
                    .is_ok_and(|taken| taken == input.len());
                return if is_complete {
                    Ok(out)
                } else {
                    Err(InflateError::Broken)
                };
            }
            out.reserve(out.len().min(max_bytes).max(256));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_a_round_trip() {
        let mut inflater = Inflater::new(true);
        for text in [
            &b""[..],
            b"hello hello hello hello",
            &[b'x'; 300_000],
            b"\0\x01\xff",
        ] {
            for window in [9, 10, 15] {
                let small = compress(text, DeflateSettings { level: 6, window })
                    .expect("compression works");
                assert_eq!(inflater.inflate(&small, 1 << 20).as_deref(), Ok(text));
                assert!(!small.ends_with(TAIL));
            }
        }
        assert!(
            compress(&[b'x'; 300_000], DeflateSettings::default())
                .expect("compression works")
                .len()
                < 3000
        );
    }

    #[test]
    fn heads_go_in_front_of_compressed_messages() {
        let body =
            compress(b"hello hello hello", DeflateSettings::default()).expect("compression works");
        for length in [0, 1, 60, 65_535, 65_536, 200_000] {
            let head = vec![b'h'; length];
            let mut joined = Vec::new();
            push_with_head(&head, &body, &mut joined);
            let inflated = Inflater::new(true)
                .inflate(&joined, 1 << 20)
                .expect("it inflates");
            assert!(
                inflated == [&head[..], b"hello hello hello"].concat(),
                "{length}"
            );
        }
    }

    #[test]
    fn bombs_and_garbage_are_rejected() {
        let bomb = compress(&[0; 1 << 20], DeflateSettings::default()).expect("compression works");
        assert_eq!(
            Inflater::new(false).inflate(&bomb, 10_000),
            Err(InflateError::TooLarge)
        );
        assert_eq!(
            Inflater::new(false).inflate(&[0xff; 100], 10_000),
            Err(InflateError::Broken)
        );
    }
}
