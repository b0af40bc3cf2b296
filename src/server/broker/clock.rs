//! The source of message positions: the current second, with a tag that counts the messages of the
//! whole server in that second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::message::{Position, unix_now};

/// Bits of the packed position that hold the tag. More than 16 million messages in a second
/// continue in the next second, which keeps positions strictly increasing.
const TAG_BITS: u32 = 24;

/// Offset of the first tag for each microsecond of the current second that has passed at the start.
/// A server cannot publish 16 million messages in a second.
const TAGS_PER_MICROSECOND: u64 = 16;

/// Assigns positions. They are strictly increasing, even if the wall clock is set back.
#[derive(Debug)]
pub struct PositionClock {
    last: AtomicU64,
    /// Position at which this run of the server began.
    start: Position,
}

impl PositionClock {
    /// Starts the clock. If it `separates_runs`, the tags of the first second begin with the
    /// elapsed part of that second, so that they are higher than those of an earlier run that ended
    /// in the same second.
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

    /// True if the client's cursor comes from an earlier run of the server: it is before the start
    /// of this run or, if the wall clock was set back in between, after the newest position of this
    /// run. Tag 0 belongs to no message; such a cursor requests the messages since a time and is
    /// never from an earlier run.
    #[must_use]
    pub fn is_of_earlier_run(&self, time: u64, tag: Option<u64>) -> bool {
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

    /// True if a position that a server has sent is from an earlier run. Unlike in
    /// [`Self::is_of_earlier_run`], tag 0 is a valid position: that of a stream without a message.
    #[must_use]
    pub fn is_before_start(&self, position: Position) -> bool {
        position < self.start
    }

    /// Assigns the next position.
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

    /// The newest position, or the beginning of the current second if that is later. Positions
    /// assigned after this call are higher.
    #[must_use]
    pub fn now(&self) -> Position {
        let second = unix_now() << TAG_BITS;
        unpacked(self.last.fetch_max(second, Ordering::Relaxed).max(second))
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
    fn positions_of_an_earlier_run_are_detected() {
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
            // The clock of a client may be fast.
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
