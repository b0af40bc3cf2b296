//! The call of a subscriber location, and its outcome.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;

use super::formats::{Formats, PreparedResponse};
use super::one_shot::ResponseWire;
use crate::server::access::grant::Grant;
use crate::server::broker::{Broker, Channel, CreateError, Ticket};
use crate::server::config::{LocationSettings, SubscriberMode};
use crate::server::exchange::compression::Compression;
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{
    HeaderList, Response, ResponseContext, ResponseWriter, SubscriptionHead,
};
use crate::server::exchange::variables::RequestVariables;
use crate::server::fanout::{SlowConsumerSettings, Subscription};

/// Outcome of a subscriber's request. `E` is what the protocol family adds to a subscription.
pub enum SubscribeReply<E = ()> {
    /// A response; the connection then reads the next request.
    Respond(Response),
    /// A response that is written already.
    Prepared(PreparedResponse),
    /// A websocket that is closed at once.
    RejectWebSocket(RejectedWebSocket),
    /// The connection becomes a follower.
    Follow(Box<Subscription>, E),
}

/// A websocket that is opened only to report why it is closed.
pub struct RejectedWebSocket {
    /// The head of the response; `None` if the connection is closed without one.
    pub head: Option<SubscriptionHead>,
    /// The frames before the end of the connection.
    pub frames: Vec<u8>,
}

impl<E> SubscribeReply<E> {
    /// Converts what the family adds to a subscription.
    pub(in crate::server) fn map<F>(self, convert: impl FnOnce(E) -> F) -> SubscribeReply<F> {
        match self {
            Self::Respond(response) => SubscribeReply::Respond(response),
            Self::Prepared(response) => SubscribeReply::Prepared(response),
            Self::RejectWebSocket(rejected) => SubscribeReply::RejectWebSocket(rejected),
            Self::Follow(subscription, more) => SubscribeReply::Follow(subscription, convert(more)),
        }
    }
}

/// A request at a subscriber location.
pub struct SubscribeCall<'a> {
    /// Head of the request; subscribers have no body.
    pub request: &'a Request<'a>,
    /// Variables for the expressions of the location.
    pub variables: &'a RequestVariables<'a>,
    /// The endpoint and the settings of the location, after its conditions.
    pub settings: &'a Arc<LocationSettings>,
    /// What the request may do.
    pub grant: Grant,
    /// The mode of a push-stream location.
    pub mode: SubscriberMode,
    /// Has the channels, and counts rejections.
    pub broker: &'a Broker,
    /// The format cache of the shard.
    pub formats: &'a Formats,
    /// Maximum number of channels in one request.
    pub max_channels: usize,
    /// Properties of the connection that responses depend on.
    pub connection: ResponseContext,
    /// Writes responses as the connection sends them.
    pub writer: &'static dyn ResponseWriter,
    /// How responses are compressed.
    pub compression: &'a Compression,
    /// Headers that the location adds to successful responses. Long-polls write them later.
    pub added: &'a HeaderList,
    /// Channels that the engine has to open. Unless it is empty, the reply is discarded, and the
    /// call is repeated when they are open.
    pub openings: RefCell<Vec<Ticket<()>>>,
}

impl SubscribeCall<'_> {
    /// The channel with this id, opened for reading; it is created if it does not exist.
    ///
    /// # Errors
    /// When a limit on channels or memory is reached.
    pub(in crate::server) fn open_channel(&self, id: &Bytes) -> Result<Arc<Channel>, CreateError> {
        let channel = self.broker.find_or_create(id)?;
        match self.broker.open(&channel) {
            Ticket::Ready(Ok(())) => {}
            opening => self.openings.borrow_mut().push(opening),
        }
        Ok(channel)
    }

    /// How the response to a long-poll that waits is written.
    pub(in crate::server) fn waiting_wire(&self) -> ResponseWire {
        ResponseWire {
            writer: self.writer,
            connection: ResponseContext {
                minor_version: self.request.framing_version(),
                keep_alive: self.request.keep_alive,
                is_head: false,
            },
        }
    }

    /// True if channels have to be opened, so that the reply is discarded.
    pub(in crate::server) fn has_openings(&self) -> bool {
        !self.openings.borrow().is_empty()
    }

    /// The policy for followers of the location that are too far behind.
    pub(in crate::server) fn slow_consumers(&self) -> SlowConsumerSettings {
        let max_lag = self
            .settings
            .slow_consumer_bytes
            .unwrap_or_else(|| self.broker.max_lag_bytes());
        SlowConsumerSettings {
            policy: self.settings.slow_consumer,
            max_lag,
        }
    }
}
