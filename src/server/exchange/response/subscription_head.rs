//! The head of a response to a subscriber, before its payload.

use bytes::Bytes;

use super::HeaderList;

/// The head of the response to a subscription.
#[derive(Debug, Default)]
pub enum SubscriptionHead {
    /// There is none: the payload consists of whole responses.
    #[default]
    None,
    /// 200, before a body without known length.
    Stream(StreamHead),
    /// 101, before websocket frames, with these headers.
    Upgrade(HeaderList),
}

/// The head of a response whose body has no known length.
#[derive(Debug, Default)]
pub struct StreamHead {
    /// `Content-Type`
    pub content_type: Option<Bytes>,
    /// HTTP/1 announces that the connection stays open.
    pub keep_alive: bool,
    /// Additional headers.
    pub headers: HeaderList,
}

impl SubscriptionHead {
    /// Appends header lines, unless there is no head.
    pub fn push_lines(&mut self, lines: &[u8]) {
        match self {
            Self::None => {}
            Self::Stream(StreamHead { headers, .. }) | Self::Upgrade(headers) => {
                headers.push_lines(lines);
            }
        }
    }
}
