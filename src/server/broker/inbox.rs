//! The list of channels that have news for one shard.
//!
//! Bounded by nature: a channel stands in it at most once, because a mark in the channel says that it is there.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::channel::Channel;

/// Channels with news for one shard, in the order in which the news came.
#[derive(Debug, Default)]
pub struct Inbox {
    channels: Mutex<Vec<Arc<Channel>>>,
    reader: AtomicWaker,
}

impl Inbox {
    pub(super) fn push(&self, channel: Arc<Channel>) {
        let was_empty = {
            let mut channels = self.channels.lock();
            channels.push(channel);
            channels.len() == 1
        };
        if was_empty {
            self.reader.wake();
        }
    }

    /// Waits until there is something to take. To be called from one place only.
    pub async fn news(&self) {
        poll_fn(|cx| {
            self.reader.register(cx.waker());
            // What came before the waker was there has not woken it.
            if self.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
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
