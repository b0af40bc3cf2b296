//! Deadlines of a shard's connections: one heap and one sleep instead of a timer for each
//! connection.
//!
//! Postponing a deadline costs nothing: the heap keeps the old entry, and when that expires the
//! connection is armed with its current deadline. So there is about one entry per connection,
//! however often deadlines move.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Milliseconds since the start of the shard.
pub(super) type Millis = u64;

/// No deadline.
pub(super) const NEVER: Millis = Millis::MAX;

/// The deadlines of a shard.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Millis, usize)>>,
    /// The earliest entry of each connection in the heap.
    armed: Vec<Millis>,
}

impl Timers {
    /// Makes sure that `slot` expires at `due` or earlier. Returns true if that is now the earliest
    /// deadline.
    pub(super) fn arm(&mut self, slot: usize, due: Millis) -> bool {
        if due == NEVER {
            return false;
        }
        if self.armed.len() <= slot {
            self.armed.resize(slot + 1, NEVER);
        }
        if self.armed[slot] <= due {
            return false;
        }
        let is_first = self.next().is_none_or(|next| due < next);
        self.armed[slot] = due;
        self.heap.push(Reverse((due, slot)));
        is_first
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
        assert!(timers.arm(3, 100));
        for due in 101..200 {
            assert!(!timers.arm(3, due));
        }
        assert_eq!(timers.heap.len(), 1);
        assert!(timers.arm(3, 50));
        assert_eq!(timers.next(), Some(50));
        assert_eq!(timers.pop(49), None);
        assert_eq!(timers.pop(1000), Some(3));
        assert_eq!(timers.pop(1000), None, "the later entry was superseded");
        assert!(timers.arm(3, 70));
    }
}
