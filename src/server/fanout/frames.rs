//! Encoded messages, shared by all followers that stand at the same place and look the same.

use std::rc::{Rc, Weak};

use super::format::{Format, Sum};
use crate::server::broker::Place;
use crate::server::buffer_pool;

/// Most bytes of message text in one frame; what is beyond follows in the next one, when the socket
/// has taken this one.
pub(super) const MAX_FRAME_TEXT_BYTES: usize = 256 * 1024;

/// Frames that are kept. A round needs one for each format and place; followers that come back one
/// by one (long-polling) find the frames of the round before.
const KEPT: usize = 8;

/// Largest frame that is held beyond its round. A larger one can still be found while a slow socket
/// holds it.
const MAX_HELD_BYTES: usize = 512 * 1024;

/// What a follower needs to be sent the right frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameKey {
    /// Number of the channel.
    pub(super) channel: u64,
    /// Address of the format; the frame holds the format, so that it cannot be another's.
    pub(super) format: *const (),
    /// Where the follower stands; only its cursor where there is no backlog. Followers of one
    /// format may all be equally far behind.
    pub(super) place: Place,
    /// The second in which it was encoded, of one-shots: heads of their answers carry the date. A
    /// stream's frames stay as they are, however long a round takes.
    pub(super) second: u64,
}

/// Messages in the bytes of a format.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) bytes: Rc<Vec<u8>>,
    pub(super) content: Content,
}

/// What a frame holds of its channel's log.
#[derive(Clone, Copy)]
pub(super) struct Content {
    /// The follower's cursor after this frame.
    pub(super) up_to: u64,
    /// The backlog messages that it is still due then.
    pub(super) backlog: u32,
    /// Messages that the follower should have had but that are gone.
    pub(super) missed: u64,
    /// The sum of its bytes before they were sealed.
    pub(super) sum: Sum,
    /// The log went on when the frame was full, or where messages are missing.
    pub(super) is_cut: bool,
}

/// The newest frames of a shard.
#[derive(Default)]
pub(super) struct Frames {
    kept: Vec<Kept>,
    next: usize,
    /// Holds nothing; its place is used again for what one follower gets.
    unused: Option<Rc<Vec<u8>>>,
}

struct Kept {
    key: FrameKey,
    content: Content,
    bytes: Weak<Vec<u8>>,
    /// Holds the bytes, unless they are many and their round is over.
    held: Option<Rc<Vec<u8>>>,
    _format: Rc<dyn Format>,
}

impl FrameKey {
    pub(super) fn format_address(format: &Rc<dyn Format>) -> *const () {
        Rc::as_ptr(format).cast()
    }
}

impl Frames {
    /// A frame with this key that was cut for its size, or goes up to the `head` of its channel.
    pub(super) fn find(&self, key: FrameKey, head: u64) -> Option<Frame> {
        let kept = self
            .kept
            .iter()
            .find(|kept| kept.key == key && (kept.content.is_cut || kept.content.up_to >= head))?;
        let bytes = kept.bytes.upgrade()?;
        Some(Frame {
            bytes,
            content: kept.content,
        })
    }

    /// Keeps an encoded frame for the followers that come next.
    pub(super) fn keep(
        &mut self,
        key: FrameKey,
        format: &Rc<dyn Format>,
        bytes: Vec<u8>,
        content: Content,
    ) -> Frame {
        let bytes = Rc::new(bytes);
        let kept = Kept {
            key,
            content,
            bytes: Rc::downgrade(&bytes),
            held: Some(Rc::clone(&bytes)),
            _format: Rc::clone(format),
        };
        if let Some(same) = self.kept.iter_mut().find(|kept| kept.key == key) {
            *same = kept;
        } else if self.kept.len() < KEPT {
            self.kept.push(kept);
        } else {
            self.kept[self.next] = kept;
            self.next = (self.next + 1) % KEPT;
        }
        Frame { bytes, content }
    }

    /// The bytes of a frame that only one follower gets.
    pub(super) fn unshared(&mut self, bytes: Vec<u8>) -> Rc<Vec<u8>> {
        let mut place = self.unused.take().unwrap_or_default();
        *Rc::make_mut(&mut place) = bytes;
        place
    }

    /// Takes what was written; where nobody holds it any more its memory is used again.
    pub(super) fn give_back(&mut self, mut written: Rc<Vec<u8>>) {
        if let Some(bytes) = Rc::get_mut(&mut written) {
            buffer_pool::give(std::mem::take(bytes));
            self.unused = Some(written);
        }
    }

    /// Bytes that are held here.
    pub(super) fn held_bytes(&self) -> usize {
        self.kept
            .iter()
            .filter_map(|kept| kept.held.as_ref())
            .map(|bytes| bytes.capacity())
            .sum()
    }

    /// Lets go of large frames; to be called at the end of a round.
    pub(super) fn release_large(&mut self) {
        for kept in &mut self.kept {
            kept.held.take_if(|bytes| bytes.len() > MAX_HELD_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_frame_is_used_again_only_if_nobody_holds_it() {
        let mut frames = Frames::default();
        let first = frames.unshared(b"first".to_vec());
        let place = Rc::as_ptr(&first);
        let held = Rc::clone(&first);
        frames.give_back(first);
        let second = frames.unshared(b"second".to_vec());
        assert_eq!((&held[..], &second[..]), (&b"first"[..], &b"second"[..]));
        let known = Rc::downgrade(&held);
        frames.give_back(held);
        assert!(
            known.upgrade().is_none(),
            "what somebody may still ask for has no other bytes"
        );
        let place_of_second = Rc::as_ptr(&second);
        frames.give_back(second);
        let third = frames.unshared(b"third".to_vec());
        assert_eq!(
            (Rc::as_ptr(&third), &third[..]),
            (place_of_second, &b"third"[..])
        );
        assert_ne!(place, place_of_second);
    }
}
