//! Cache of encoded frames. Followers with the same channel, format and cursor share a frame.

use std::rc::{Rc, Weak};

use super::format::Format;
use crate::server::broker::LogCursor;
use crate::server::exchange::buffer_pool;
use crate::server::exchange::checksum::Checksum;

/// Most bytes of message text in a frame. The rest follows in the next frame, once the socket has
/// accepted this one.
pub(super) const MAX_FRAME_TEXT_BYTES: usize = 256 * 1024;

/// Number of cached frames. A round needs one for each format and cursor; one-shot followers that
/// come back one by one find the frames of the previous round.
const MAX_FRAMES: usize = 8;

/// Largest frame that the cache keeps alive after its round. A larger one can still be found while
/// a slow follower holds it.
const MAX_HELD_BYTES: usize = 512 * 1024;

/// Identity of a frame. Followers with equal keys receive the same bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameKey {
    pub(super) channel: u64,
    /// Address of the format. The cached frame holds the format, so that no other one can get this
    /// address.
    pub(super) format: *const (),
    /// Cursor of the follower; reduced to the last seen id outside of a backlog, so that followers
    /// that attached at different times share frames.
    pub(super) cursor: LogCursor,
    /// Second of the encoding, for one-shot formats, because their response heads contain the date;
    /// 0 for streams, whose frames stay valid for the whole round.
    pub(super) second: u64,
}

/// Encoded messages.
#[derive(Clone)]
pub(super) struct EncodedFrame {
    pub(super) bytes: Rc<Vec<u8>>,
    pub(super) content: FrameContent,
}

/// The part of the log that a frame contains.
#[derive(Clone, Copy)]
pub(super) struct FrameContent {
    /// Id that the follower has seen after this frame.
    pub(super) up_to: u64,
    /// Number of backlog messages that are still due after this frame.
    pub(super) backlog: u32,
    /// Number of messages that were due and are no longer available.
    pub(super) missed: u64,
    /// Checksum of the plain bytes, before sealing.
    pub(super) checksum: Checksum,
    /// The frame ends before the head of the log: at its size limit, or at a gap.
    pub(super) is_cut: bool,
}

/// The newest frames of a shard.
#[derive(Default)]
pub(super) struct FrameCache {
    frames: Vec<CachedFrame>,
    next: usize,
    /// An empty buffer whose allocation is reused for the next unshared frame.
    unused: Option<Rc<Vec<u8>>>,
}

struct CachedFrame {
    key: FrameKey,
    content: FrameContent,
    bytes: Weak<Vec<u8>>,
    /// Keeps the bytes alive; `None` for a large frame whose round is over.
    held: Option<Rc<Vec<u8>>>,
    _format: Rc<Format>,
}

impl FrameKey {
    pub(super) fn format_address(format: &Rc<Format>) -> *const () {
        Rc::as_ptr(format).cast()
    }
}

impl FrameCache {
    /// Finds a frame with this key that either was cut or reaches the `head` of its channel.
    pub(super) fn find(&self, key: FrameKey, head: u64) -> Option<EncodedFrame> {
        let cached = self.frames.iter().find(|cached| {
            cached.key == key && (cached.content.is_cut || cached.content.up_to >= head)
        })?;
        let bytes = cached.bytes.upgrade()?;
        Some(EncodedFrame {
            bytes,
            content: cached.content,
        })
    }

    /// Caches an encoded frame.
    pub(super) fn insert(
        &mut self,
        key: FrameKey,
        format: &Rc<Format>,
        bytes: Vec<u8>,
        content: FrameContent,
    ) -> EncodedFrame {
        let bytes = Rc::new(bytes);
        let cached = CachedFrame {
            key,
            content,
            bytes: Rc::downgrade(&bytes),
            held: Some(Rc::clone(&bytes)),
            _format: Rc::clone(format),
        };
        if let Some(same) = self.frames.iter_mut().find(|cached| cached.key == key) {
            *same = cached;
        } else if self.frames.len() < MAX_FRAMES {
            self.frames.push(cached);
        } else {
            self.frames[self.next] = cached;
            self.next = (self.next + 1) % MAX_FRAMES;
        }
        EncodedFrame { bytes, content }
    }

    /// Wraps a frame for a single follower, without an allocation if the previous one was recycled.
    pub(super) fn wrap_unshared(&mut self, bytes: Vec<u8>) -> Rc<Vec<u8>> {
        let mut shared = self.unused.take().unwrap_or_default();
        *Rc::make_mut(&mut shared) = bytes;
        shared
    }

    /// Returns a written frame. If it has no other holder, its memory is reused.
    pub(super) fn recycle(&mut self, mut written: Rc<Vec<u8>>) {
        if let Some(bytes) = Rc::get_mut(&mut written) {
            buffer_pool::give(std::mem::take(bytes));
            self.unused = Some(written);
        }
    }

    /// Bytes that the cache keeps alive.
    pub(super) fn held_bytes(&self) -> usize {
        self.frames
            .iter()
            .filter_map(|cached| cached.held.as_ref())
            .map(|bytes| bytes.capacity())
            .sum()
    }

    /// Stops keeping large frames alive. To be called at the end of a round.
    pub(super) fn drop_large(&mut self) {
        for cached in &mut self.frames {
            cached.held.take_if(|bytes| bytes.len() > MAX_HELD_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_without_holders_is_reused() {
        let mut frames = FrameCache::default();
        let first = frames.wrap_unshared(b"first".to_vec());
        let address_of_first = Rc::as_ptr(&first);
        let held = Rc::clone(&first);
        frames.recycle(first);
        let second = frames.wrap_unshared(b"second".to_vec());
        assert_eq!((&held[..], &second[..]), (&b"first"[..], &b"second"[..]));
        let cached = Rc::downgrade(&held);
        frames.recycle(held);
        assert!(
            cached.upgrade().is_none(),
            "a cached frame never gets other bytes"
        );
        let address_of_second = Rc::as_ptr(&second);
        frames.recycle(second);
        let third = frames.wrap_unshared(b"third".to_vec());
        assert_eq!(
            (Rc::as_ptr(&third), &third[..]),
            (address_of_second, &b"third"[..])
        );
        assert_ne!(address_of_first, address_of_second);
    }
}
