//! Hands out message positions: the current second and a tag that counts all messages of the server in it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::{Position, unix_now};

/// Bits of the packed position that hold the tag. More than 16 million messages in one second run over into the next
/// second, which keeps positions strictly increasing.
const TAG_BITS: u32 = 24;

/// The source of positions. They are strictly increasing, even when the wall clock steps back.
#[derive(Debug, Default)]
pub(super) struct PositionClock {
    last: AtomicU64,
}

impl PositionClock {
    /// The next position.
    pub(super) fn next(&self) -> Position {
        let first_of_second = (unix_now() << TAG_BITS) | 1;
        let next = |last: u64| Some(first_of_second.max(last + 1));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_else(|last| last);
        let packed = first_of_second.max(last + 1);
        unpacked(packed)
    }

    /// The newest position, or the beginning of the present second; what is appended after this call comes later.
    pub(super) fn now(&self) -> Position {
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
        let clock = PositionClock::default();
        let mut last = clock.next();
        assert_eq!(last.tag, 1);
        for _ in 0..10_000 {
            let next = clock.next();
            assert!(next > last);
            assert!(next.tag == last.tag + 1 || (next.time > last.time && next.tag == 1));
            last = next;
            let now = clock.now();
            assert!(now == last || (now.time > last.time && now.tag == 0), "{now:?} after {last:?}");
        }
    }
}
