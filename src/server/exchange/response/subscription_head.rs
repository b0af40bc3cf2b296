//! The head of a response to a subscriber, before its payload.

use super::{HeaderList, ResponseHead};

/// The head of the response to a subscription.
#[derive(Debug)]
pub enum SubscriptionHead {
    /// Before a body without known length.
    Stream(ResponseHead),
    /// 101, before websocket frames, with these headers.
    Upgrade(HeaderList),
}

impl SubscriptionHead {
    /// Appends headers.
    pub fn extend(&mut self, more: &HeaderList) {
        match self {
            Self::Stream(ResponseHead { headers, .. }) | Self::Upgrade(headers) => {
                headers.extend(more);
            }
        }
    }
}
