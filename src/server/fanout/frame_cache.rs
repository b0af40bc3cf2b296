//! Cache of encoded frames. Followers with the same channel, format and cursor share a frame.

use std::rc::{Rc, Weak};

use super::format::Format;
use super::frame::PayloadFrame;
use crate::server::broker::LogCursor;

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
    pub(super) frame: Rc<PayloadFrame>,
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
    /// The frame ends before the head of the log: at its size limit, or at a gap.
    pub(super) is_cut: bool,
}

/// The newest frames of a shard.
#[derive(Default)]
pub(super) struct FrameCache {
    frames: Vec<CachedFrame>,
    next: usize,
    /// An empty frame whose allocation is reused for the next unshared frame.
    unused: Option<Rc<PayloadFrame>>,
}

struct CachedFrame {
    key: FrameKey,
    content: FrameContent,
    frame: Weak<PayloadFrame>,
    /// Keeps the frame alive; `None` for a large frame whose round is over.
    held: Option<Rc<PayloadFrame>>,
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
        let frame = cached.frame.upgrade()?;
        Some(EncodedFrame {
            frame,
            content: cached.content,
        })
    }

    /// Caches an encoded frame.
    pub(super) fn insert(
        &mut self,
        key: FrameKey,
        format: &Rc<Format>,
        frame: PayloadFrame,
        content: FrameContent,
    ) -> EncodedFrame {
        let frame = Rc::new(frame);
        let cached = CachedFrame {
            key,
            content,
            frame: Rc::downgrade(&frame),
            held: Some(Rc::clone(&frame)),
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
        EncodedFrame { frame, content }
    }

    /// Wraps a frame for a single follower, without an allocation if the previous one was recycled.
    pub(super) fn wrap_unshared(&mut self, frame: PayloadFrame) -> Rc<PayloadFrame> {
        let mut shared = self.unused.take().unwrap_or_default();
        match Rc::get_mut(&mut shared) {
            Some(unused) => *unused = frame,
            None => shared = Rc::new(frame),
        }
        shared
    }

    /// Returns a written frame. If it has no other holder, its memory is reused.
    pub(super) fn recycle(&mut self, mut written: Rc<PayloadFrame>) {
        if let Some(frame) = Rc::get_mut(&mut written) {
            frame.recycle();
            self.unused = Some(written);
        }
    }

    /// Bytes that the cache keeps alive.
    pub(super) fn held_bytes(&self) -> usize {
        self.frames
            .iter()
            .filter_map(|cached| cached.held.as_ref())
            .map(|frame| frame.capacity_of_all())
            .sum()
    }

    /// Stops keeping large frames alive. To be called at the end of a round.
    pub(super) fn drop_large(&mut self) {
        for cached in &mut self.frames {
            cached.held.take_if(|frame| frame.len() > MAX_HELD_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::exchange::response::Framing;

    #[test]
    fn a_frame_without_holders_is_reused() {
        let mut frames = FrameCache::default();
        let frame = |text: &str| PayloadFrame::unframed(text.into());
        let bytes = |frame: &Rc<PayloadFrame>| frame.framed(Framing::Raw).to_vec();
        let first = frames.wrap_unshared(frame("first"));
        let address_of_first = Rc::as_ptr(&first);
        let held = Rc::clone(&first);
        frames.recycle(first);
        let second = frames.wrap_unshared(frame("second"));
        assert_eq!(
            (bytes(&held), bytes(&second)),
            (b"first".to_vec(), b"second".to_vec())
        );
        let cached = Rc::downgrade(&held);
        frames.recycle(held);
        assert!(
            cached.upgrade().is_none(),
            "a cached frame never gets other bytes"
        );
        let address_of_second = Rc::as_ptr(&second);
        frames.recycle(second);
        let third = frames.wrap_unshared(frame("third"));
        assert_eq!(
            (Rc::as_ptr(&third), bytes(&third)),
            (address_of_second, b"third".to_vec())
        );
        assert_ne!(address_of_first, address_of_second);
    }
}
