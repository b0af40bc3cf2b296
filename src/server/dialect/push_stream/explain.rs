//! Rejections of requests: their status and explain header (push-stream.md, sections 4 and 7).

use std::borrow::Cow;

use crate::protocol::EXPLAIN;
use crate::server::limits_log::Limit;
use crate::server::response::{NO_CACHE, Response, Status};

/// Why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The path names no channel.
    NoChannelId,
    /// `ALL`, or an id with `*`.
    ForbiddenId,
    /// The id is longer than `max_channel_id_length`.
    IdTooLong,
    /// The request exceeds the maximum number of channels.
    TooManyIds,
    /// The maximum number of channels exists already.
    TooManyChannels,
    /// Clients cannot publish to the events channel.
    EventsChannel,
    /// The message is empty.
    EmptyBody,
    /// The callback is not an identifier or a path to a member.
    InvalidCallback,
    /// `authorized_channels_only`
    NotAuthorized,
    /// `max_subscribers_per_channel`
    TooManySubscribers,
    /// `allow_connections_to_events_channel`
    EventsSubscription,
    /// `wildcard_channel_max_qtd`
    TooManyWildcards,
    /// No memory for a channel, on a publisher location.
    OutOfMemory,
    /// No memory for a channel, on a subscriber location.
    OutOfMemoryForSubscriber,
}

impl Refusal {
    /// The status of the response.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Refusal::NoChannelId
            | Refusal::IdTooLong
            | Refusal::EmptyBody
            | Refusal::InvalidCallback
            | Refusal::TooManyIds => Status::BAD_REQUEST,
            Refusal::OutOfMemory | Refusal::OutOfMemoryForSubscriber => Status::INTERNAL,
            _ => Status::FORBIDDEN,
        }
    }

    /// The text of the explain header; `None` if there is no such header.
    #[must_use]
    pub fn text(self) -> Option<&'static str> {
        Some(match self {
            Refusal::NoChannelId => "No channel id provided.",
            Refusal::ForbiddenId => "Channel id not authorized for this method.",
            Refusal::IdTooLong => "Channel id is too large.",
            Refusal::TooManyIds => "Too many channels in one request.",
            Refusal::TooManyChannels => "Number of channels were exceeded.",
            Refusal::EventsChannel => "Only internal routines can change events channel.",
            Refusal::EmptyBody => "Empty post requests are not allowed.",
            Refusal::InvalidCallback => {
                "The callback must be a JavaScript identifier, or a path to a member such as \
                 a.b[0]."
            }
            Refusal::NotAuthorized => "Subscriber could not create channels.",
            Refusal::TooManySubscribers => "Subscribers limit per channel has been exceeded.",
            Refusal::EventsSubscription => "Subscription to events channel is not allowed.",
            Refusal::TooManyWildcards => "Subscribed too much wildcard channels.",
            Refusal::OutOfMemory => return None,
            Refusal::OutOfMemoryForSubscriber => "",
        })
    }

    /// Logs the limit that caused the rejection, unless it is logged where it is reached.
    pub fn log(self) {
        match self {
            Refusal::IdTooLong => Limit::ChannelId.log(),
            Refusal::TooManyIds => Limit::ChannelsPerRequest.log(),
            Refusal::TooManySubscribers => Limit::Subscribers.log(),
            _ => {}
        }
    }

    /// The header-only response; the lines of `cors` precede (`cors_first`) or follow the cache
    /// headers.
    #[must_use]
    pub fn response(self, cors: &[u8], cors_first: bool) -> Response {
        self.log();
        let mut lines = if cors_first {
            [cors, NO_CACHE].concat()
        } else {
            [NO_CACHE, cors].concat()
        };
        if let Some(text) = self.text() {
            lines.extend_from_slice(explain_line(text).as_bytes());
        }
        Response::header_only(self.status(), lines)
    }
}

/// Returns the explain header as a complete line.
#[must_use]
pub fn explain_line(text: &str) -> Cow<'static, str> {
    Cow::Owned(format!("{EXPLAIN}: {text}\r\n"))
}
