//! Hands out message positions: the current second and a tag that counts all messages of the server
//! in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Broker;
use crate::message::{Position, unix_now};

/// Bits of the packed position that hold the tag. More than 16 million messages in one second run
/// over into the next second, which keeps positions strictly increasing.
const TAG_BITS: u32 = 24;

/// Tags of a second that begin before each microsecond of it, for the tag that the first second
/// begins with. 16 million messages in a second are more than a server can publish.
const TAGS_PER_MICROSECOND: u64 = 16;

/// The source of positions. They are strictly increasing, even when the wall clock steps back.
#[derive(Debug)]
pub(super) struct PositionClock {
    last: AtomicU64,
    /// Where this run of the server begins.
    start: Position,
}

impl PositionClock {
    /// Begins now. If it `separates_runs`, a run of the server that has ended in this second had
    /// lower tags: those of its first second begin with the part of the second that has passed.
    pub(super) fn new(separates_runs: bool) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let first_tag = if separates_runs {
            u64::from(now.subsec_micros()) * TAGS_PER_MICROSECOND
        } else {
            0
        };
        let packed = (now.as_secs() << TAG_BITS) | first_tag;
        Self {
            last: AtomicU64::new(packed),
            start: unpacked(packed),
        }
    }

    /// Whether a client that has seen everything up to that place has seen an earlier run of the
    /// server: before this one started or, if the clock has been set back between them, after all
    /// that this one has published. Tag 0, which no message has, asks for the messages since a
    /// time; nobody stood there.
    fn is_of_earlier_run(&self, time: u64, tag: Option<u64>) -> bool {
        let packed = |position: Position| (position.time, u64::from(position.tag));
        match tag {
            None => time < self.start.time,
            Some(0) => false,
            Some(tag) => {
                let last = unpacked(self.last.load(Ordering::Relaxed));
                (time, tag) < packed(self.start) || (time, tag) > packed(last)
            }
        }
    }

    /// Whether a position that a server gave out is of an earlier run. Unlike
    /// [`Self::is_of_earlier_run`], tag 0 is a place: that of a stream that had no message yet.
    fn is_before_start(&self, position: Position) -> bool {
        position < self.start
    }

    /// The next position.
    pub(super) fn next(&self) -> Position {
        let first_of_second = (unix_now() << TAG_BITS) | 1;
        let next = |last: u64| Some(first_of_second.max(last + 1));
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .unwrap_or_else(|last| last);
        let packed = first_of_second.max(last + 1);
        unpacked(packed)
    }

    /// The newest position, or the beginning of the present second; what is appended after this
    /// call comes later.
    pub(super) fn now(&self) -> Position {
        let second = unix_now() << TAG_BITS;
        unpacked(self.last.fetch_max(second, Ordering::Relaxed).max(second))
    }
}

impl Broker {
    /// The newest position of all channels, or the beginning of the present second; what is
    /// published after this call comes later.
    #[must_use]
    pub fn position(&self) -> Position {
        self.0.clock.now()
    }

    /// Whether a client has its cursor from an earlier run of the server.
    #[must_use]
    pub fn is_of_earlier_run(&self, time: u64, tag: Option<u64>) -> bool {
        self.0.clock.is_of_earlier_run(time, tag)
    }

    /// Whether an earlier run of the server gave out a position.
    #[must_use]
    pub fn is_before_start(&self, position: Position) -> bool {
        self.0.clock.is_before_start(position)
    }
}

fn unpacked(packed: u64) -> Position {
    Position::new(packed >> TAG_BITS, (packed & ((1 << TAG_BITS) - 1)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_increase_and_tags_start_at_one() {
        let clock = PositionClock {
            last: AtomicU64::new(0),
            start: Position::default(),
        };
        let mut last = clock.next();
        assert_eq!(last.tag, 1);
        for _ in 0..10_000 {
            let next = clock.next();
            assert!(next > last);
            assert!(next.tag == last.tag + 1 || (next.time > last.time && next.tag == 1));
            last = next;
            let now = clock.now();
            assert!(
                now == last || (now.time > last.time && now.tag == 0),
                "{now:?} after {last:?}"
            );
        }
    }

    #[test]
    fn positions_of_an_earlier_run_are_told_apart() {
        let clock = PositionClock::new(true);
        let start = clock.start;
        let first = clock.next();
        assert!(first > start);
        for (time, tag, expected) in [
            (start.time - 1, None, true),
            (start.time - 1, Some(7), true),
            (start.time, Some(1), true),
            (start.time, None, false),
            (start.time, Some(start.tag), false),
            (first.time, Some(first.tag), false),
            (first.time, Some(first.tag + 1), true),
            (first.time + 100, Some(1), true),
            // The clock of a client may be ahead.
            (first.time + 100, None, false),
            (first.time + 100, Some(0), false),
            (start.time - 1, Some(0), false),
        ] {
            assert_eq!(
                clock.is_of_earlier_run(time, tag.map(u64::from)),
                expected,
                "{time} {tag:?} after {start:?}"
            );
        }
    }
}
