//! The list of channels that have news for one shard.
//!
//! Bounded by nature: a channel stands in it at most once, because a mark in the channel says that it is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::channel::Channel;

/// Channels with news for one shard, in the order in which the news came.
#[derive(Debug, Default)]
pub struct Inbox {
    channels: Mutex<Vec<Arc<Channel>>>,
    reader: AtomicWaker,
    /// Somebody is going to look without being woken.
    is_held: AtomicBool,
}

impl Inbox {
    pub(super) fn push(&self, channel: Arc<Channel>) {
        let was_empty = {
            let mut channels = self.channels.lock();
            channels.push(channel);
            channels.len() == 1
        };
        // Whoever ends the holding looks afterwards, under the same lock: so one of the two wakes the reader.
        if was_empty && !self.is_held.load(Ordering::Relaxed) {
            self.reader.wake();
        }
    }

    /// Ready when there is something to take. To be called from one task only, which [`Inbox::wake`] wakes, too.
    pub fn poll_news(&self, cx: &Context<'_>) -> Poll<()> {
        self.reader.register(cx.waker());
        // What came before the waker was there has not woken it.
        if self.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Wakes the reader.
    pub fn wake(&self) {
        self.reader.wake();
    }

    /// Nobody needs to wake the reader until [`Inbox::release`]: the caller looks at what has come.
    pub fn hold(&self) {
        self.is_held.store(true, Ordering::Relaxed);
    }

    /// Ends what [`Inbox::hold`] began; wakes the reader if there is something to take.
    pub fn release(&self) {
        self.is_held.store(false, Ordering::Relaxed);
        if !self.is_empty() {
            self.reader.wake();
        }
    }

    /// True if no channel has news now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channels.lock().is_empty()
    }

    /// Takes all channels that have news, in exchange for an empty list whose memory is used again.
    pub fn take(&self, into: &mut Vec<Arc<Channel>>) {
        into.clear();
        std::mem::swap(&mut *self.channels.lock(), into);
    }
}
