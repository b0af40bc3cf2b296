//! Rejections of requests: their status and explain header (push-stream.md, sections 4 and 7).

use crate::protocol::EXPLAIN;
use crate::server::endpoint::outcome::{TOO_MANY_PENDING, UNACKNOWLEDGED};
use crate::server::exchange::response::{HeaderList, Response, Status};
use crate::server::observe::limits_log::Limit;

/// Why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
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
    /// `--max-pending-publishes`
    TooManyPending,
    /// The engine has not acknowledged the message in time.
    Unacknowledged,
}

impl Rejection {
    /// The status of the response.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Rejection::NoChannelId
            | Rejection::IdTooLong
            | Rejection::EmptyBody
            | Rejection::InvalidCallback
            | Rejection::TooManyIds => Status::BAD_REQUEST,
            Rejection::OutOfMemory | Rejection::OutOfMemoryForSubscriber => Status::INTERNAL,
            Rejection::TooManyPending | Rejection::Unacknowledged => Status(503),
            _ => Status::FORBIDDEN,
        }
    }

    /// The text of the explain header; `None` if there is no such header.
    #[must_use]
    pub fn text(self) -> Option<&'static str> {
        Some(match self {
            Rejection::NoChannelId => "No channel id provided.",
            Rejection::ForbiddenId => "Channel id not authorized for this method.",
            Rejection::IdTooLong => "Channel id is too large.",
            Rejection::TooManyIds => "Too many channels in one request.",
            Rejection::TooManyChannels => "Number of channels were exceeded.",
            Rejection::EventsChannel => "Only internal routines can change events channel.",
            Rejection::EmptyBody => "Empty post requests are not allowed.",
            Rejection::InvalidCallback => {
                "The callback must be a JavaScript identifier, or a path to a member such as \
                 a.b[0]."
            }
            Rejection::NotAuthorized => "Subscriber could not create channels.",
            Rejection::TooManySubscribers => "Subscribers limit per channel has been exceeded.",
            Rejection::EventsSubscription => "Subscription to events channel is not allowed.",
            Rejection::TooManyWildcards => "Subscribed too much wildcard channels.",
            Rejection::OutOfMemory => return None,
            Rejection::OutOfMemoryForSubscriber => "",
            Rejection::TooManyPending => TOO_MANY_PENDING,
            Rejection::Unacknowledged => UNACKNOWLEDGED,
        })
    }

    /// Logs the limit that caused the rejection, unless it is logged where it is reached.
    pub fn log(self) {
        match self {
            Rejection::IdTooLong => Limit::ChannelId.log(),
            Rejection::TooManyIds => Limit::ChannelsPerRequest.log(),
            Rejection::TooManySubscribers => Limit::Subscribers.log(),
            _ => {}
        }
    }

    /// The header-only response; these headers precede the explanation.
    #[must_use]
    pub fn response(self, headers: &HeaderList) -> Response {
        self.log();
        let response = Response::header_only(self.status(), headers);
        match self.text() {
            Some(text) => response.with_headers(&HeaderList::of(EXPLAIN, text)),
            None => response,
        }
    }
}
