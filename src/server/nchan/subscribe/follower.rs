//! What accompanies a subscription of nchan: events, subscriber info and the websocket.

use bytes::Bytes;

use super::socket::NchanSocket;
use crate::server::nchan::events::ChannelEvent;

/// Events and subscriber info that accompany a subscription.
#[derive(Debug, Default)]
pub(in crate::server) struct SubscriberHooks {
    /// Event published when the subscriber arrives.
    pub enqueued: Option<ChannelEvent>,
    /// Event published when the subscriber leaves.
    pub dequeued: Option<ChannelEvent>,
    /// The line for `nchan_subscriber_info`, and the keys of the channels that list it.
    pub info: Option<(Bytes, Vec<Bytes>)>,
}

/// What accompanies a subscription of nchan.
#[derive(Debug)]
pub(in crate::server) struct NchanFollower {
    pub(in crate::server) hooks: SubscriberHooks,
    /// The websocket of the client.
    pub(in crate::server) socket: Option<NchanSocket>,
}

impl SubscriberHooks {
    /// Whether there are no hooks.
    #[must_use]
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.enqueued.is_none() && self.dequeued.is_none() && self.info.is_none()
    }

    /// Memory held, in bytes.
    #[must_use]
    pub(in crate::server) fn own_bytes(&self) -> usize {
        let events = [&self.enqueued, &self.dequeued]
            .into_iter()
            .flatten()
            .map(ChannelEvent::own_bytes)
            .sum::<usize>();
        let info = self.info.as_ref().map_or(0, |(text, keys)| {
            text.len() + keys.iter().map(|key| key.len() + 64).sum::<usize>()
        });
        size_of::<Self>() + events + info
    }
}
