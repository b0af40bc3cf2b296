//! The list of channels that have news for one shard.
//!
//! Bounded by nature: a channel stands in it at most once, because a mark in the channel says that it is there.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::channel::Channel;

/// Channels with news for one shard, in the order in which the news came.
#[derive(Debug, Default)]
pub struct Inbox {
    channels: Mutex<Vec<Arc<Channel>>>,
    news: Notify,
}

impl Inbox {
    pub(super) fn push(&self, channel: Arc<Channel>) {
        let was_empty = {
            let mut channels = self.channels.lock();
            channels.push(channel);
            channels.len() == 1
        };
        if was_empty {
            self.news.notify_one();
        }
    }

    /// Waits until there is something to take.
    pub async fn news(&self) {
        self.news.notified().await;
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
