//! Deadlines of a shard's connections: one heap and one sleep instead of a timer for each
//! connection.
//!
//! Postponing a deadline costs nothing: the heap keeps the old entry, and when that expires the
//! connection is armed with its current deadline. So there is about one entry per connection,
//! however often deadlines move.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Milliseconds since the start of the shard.
pub(super) type Millis = u64;

/// No deadline.
pub(super) const NEVER: Millis = Millis::MAX;

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}

/// The deadlines of a shard.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Millis, usize)>>,
    /// The earliest entry of each connection in the heap.
    armed: Vec<Millis>,
    /// The earliest deadline has moved forward since [`Timers::take_moved_forward`].
    has_moved_forward: bool,
}

impl Timers {
    /// Makes sure that `slot` expires at `due` or earlier.
    pub(super) fn arm(&mut self, slot: usize, due: Millis) {
        if due == NEVER {
            return;
        }
        if self.armed.len() <= slot {
            self.armed.resize(slot + 1, NEVER);
        }
        if self.armed[slot] <= due {
            return;
        }
        self.has_moved_forward |= self.next().is_none_or(|next| due < next);
        self.armed[slot] = due;
        self.heap.push(Reverse((due, slot)));
    }

    /// True if the earliest deadline has moved forward since the last call.
    pub(super) fn take_moved_forward(&mut self) -> bool {
        std::mem::take(&mut self.has_moved_forward)
    }

    /// When the next connection expires.
    pub(super) fn next(&self) -> Option<Millis> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes an expired connection. The caller arms it again if its deadline has moved.
    pub(super) fn pop(&mut self, now: Millis) -> Option<usize> {
        while self.next()? <= now {
            let Reverse((due, slot)) = self.heap.pop()?;
            if self.armed[slot] == due {
                self.armed[slot] = NEVER;
                return Some(slot);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_one_entry_however_often_its_deadline_moves() {
        let mut timers = Timers::default();
        timers.arm(3, 100);
        assert!(timers.take_moved_forward());
        for due in 101..200 {
            timers.arm(3, due);
            assert!(!timers.take_moved_forward());
        }
        assert_eq!(timers.heap.len(), 1);
        timers.arm(3, 50);
        assert!(timers.take_moved_forward());
        assert_eq!(timers.next(), Some(50));
        assert_eq!(timers.pop(49), None);
        assert_eq!(timers.pop(1000), Some(3));
        assert_eq!(timers.pop(1000), None, "the later entry was superseded");
        timers.arm(3, 70);
        assert!(timers.take_moved_forward());
    }
}
