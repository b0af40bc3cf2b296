//! Detection of pauses of the shard's thread: the process was stopped, the machine suspended, or
//! the core given to other work.

use std::cell::Cell;

use super::timers::{Millis, NEVER};

/// A wake-up that is late by this much counts as a pause. A turn takes about a millisecond, and
/// scheduling on a busy machine takes some tens of milliseconds.
const MIN_PAUSE: Millis = 200;

/// The pauses of a shard's thread.
#[derive(Debug)]
pub(super) struct Pauses {
    /// When the shard intends to wake up for its deadlines; `NEVER` without deadlines.
    wakes_at: Cell<Millis>,
    /// Total length of the pauses so far.
    total: Cell<Millis>,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            wakes_at: Cell::new(NEVER),
            total: Cell::new(0),
        }
    }
}

impl Pauses {
    /// Sets the intended wake-up; `NEVER` without deadlines.
    pub(super) fn set_wake_up(&self, at: Millis) {
        self.wakes_at.set(at);
    }

    /// Ends a pause if there is one at `now`, and returns its length.
    pub(super) fn end(&self, now: Millis) -> Option<Millis> {
        let length = self.current(now);
        if length == 0 {
            return None;
        }
        self.wakes_at.set(NEVER);
        self.total.set(self.total.get() + length);
        Some(length)
    }

    /// Total length of the pauses up to `now`.
    pub(super) fn total(&self, now: Millis) -> Millis {
        self.total.get() + self.current(now)
    }

    /// Delay of the intended wake-up at `now`; 0 if it is too short to be a pause.
    fn current(&self, now: Millis) -> Millis {
        let late = now.saturating_sub(self.wakes_at.get());
        if late >= MIN_PAUSE { late } else { 0 }
    }
}
