//! The head of a response to a subscriber, before its payload.

use super::{HeaderList, ResponseHead};

/// The head of the response to a subscription.
#[derive(Debug, Default)]
pub enum SubscriptionHead {
    /// There is none: the payload consists of whole responses.
    #[default]
    None,
    /// Before a body without known length.
    Stream(ResponseHead),
    /// 101, before websocket frames, with these headers.
    Upgrade(HeaderList),
}

impl SubscriptionHead {
    /// Appends headers, unless there is no head.
    pub fn extend(&mut self, more: &HeaderList) {
        match self {
            Self::None => {}
            Self::Stream(ResponseHead { headers, .. }) | Self::Upgrade(headers) => {
                headers.extend(more);
            }
        }
    }
}
