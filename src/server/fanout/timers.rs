//! Deadlines of a shard's connections, without a timer for each: one heap, one sleep.
//!
//! A deadline that moves later costs nothing: the heap keeps the old entry, and when that comes up
//! the connection says when it is really due. So there is about one entry per connection, however
//! often deadlines move.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Milliseconds since the shard's start.
pub(super) type Millis = u64;

/// Stands for "no deadline".
pub(super) const NEVER: Millis = Millis::MAX;

/// The deadlines of a shard.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Millis, usize)>>,
    /// The earliest entry of each connection in the heap.
    armed: Vec<Millis>,
}

impl Timers {
    /// Sees to it that `slot` comes up at `due` or before. True if that is earlier than everything
    /// else.
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

    /// When the next connection comes up.
    pub(super) fn next(&self) -> Option<Millis> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes a connection that is due; the caller arms it again if it is not really.
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
