//! State of a channel, as responses to publishers and statistics show it.

use bytes::Bytes;

use super::ChannelState;

/// State of a channel, as responses to publishers and statistics show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Channel id.
    pub id: Bytes,
    /// Number of messages ever published; also the id of the newest.
    pub published: u64,
    /// Number of stored messages.
    pub stored: u64,
    /// Number of subscriptions.
    pub subscribers: u64,
    /// Number of messages that were stored once and are gone.
    pub dropped: u64,
    /// Bytes held for followers that are behind.
    pub lag_bytes: u64,
    /// Number of one-shot subscriptions.
    pub waiting: u64,
    /// Second of the latest request for messages of this channel alone; 0 = none.
    pub requested_second: u64,
    /// Second of its creation.
    pub created_second: u64,
    /// Second of the newest message and its tag in the channel.
    pub last: Option<(u64, u32)>,
}

impl ChannelState {
    pub(super) fn info(&self, id: &Bytes) -> ChannelInfo {
        ChannelInfo {
            id: id.clone(),
            published: self.log.last_id(),
            stored: self.log.stored_count() as u64,
            subscribers: self.subscriptions,
            dropped: self.log.dropped_count(),
            lag_bytes: self.log.live_bytes(),
            waiting: self.waiting,
            requested_second: self.requested_second,
            created_second: self.created_second,
            last: self.log.tags.last(),
        }
    }
}
