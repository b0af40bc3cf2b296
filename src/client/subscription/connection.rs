//! The request or the connection of a subscription.

use std::pin::Pin;

use reqwest::{Response, Url};

use super::notice::Notice;
use super::silence::FIRST_BYTES;
use crate::client::dialect::Dialect;
use crate::client::error::Error;
use crate::client::message::Message;
use crate::client::mode::Mode;
use crate::client::transport::ev::EventSourceConnection;
use crate::client::transport::stream::StreamConnection;
use crate::client::transport::ws::WebSocketConnection;
use crate::client::url::shown;

/// The response to a request, once its head arrives.
pub(super) type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>;

/// The link to the server.
pub(super) enum Link {
    /// None; the next step connects.
    Down,
    /// A request without a response yet.
    Requested(PendingRequest),
    /// The response arrived.
    Up(MessageConnection),
}

/// A request that was sent.
pub(super) struct PendingRequest {
    pub(super) response: ResponseFuture,
    pub(super) url: Url,
    /// The key of a websocket handshake, to verify the response.
    pub(super) key: Option<String>,
    /// The request had the position of all channels.
    pub(super) is_common: bool,
}

/// Result of a wait.
pub(super) enum Progress {
    /// The response head arrived.
    Responded(PendingRequest, Box<Response>),
    /// The connection delivered messages, or its end.
    Read(Option<Vec<Message>>),
    /// Nothing to do: wait again.
    Waiting,
}

/// A connection that delivers messages.
pub(super) enum MessageConnection {
    Stream(StreamConnection),
    Ev(EventSourceConnection),
    Ws(Box<WebSocketConnection>),
    /// A poll response, which was read to its end.
    PollResponse,
}

/// How an endless connection is read.
pub(super) struct StreamSettings {
    pub(super) mode: Mode,
    pub(super) channels: Vec<String>,
    /// The server is known to speak NHPM or nchan.
    pub(super) is_unframed: bool,
    /// Maximum size in bytes of a message.
    pub(super) max_message_bytes: usize,
}

impl Link {
    /// Waits for the response, or for data of the connection; cancel-safe.
    ///
    /// # Errors
    /// Returns an error if the request failed or the connection broke.
    pub(super) async fn progress(&mut self) -> Result<Progress, Error> {
        match self {
            Self::Down => Ok(Progress::Read(None)),
            Self::Up(connection) => Ok(Progress::Read(connection.next().await?)),
            Self::Requested(pending) => {
                let response = (&mut pending.response).await;
                let Self::Requested(pending) = std::mem::replace(self, Self::Down) else {
                    unreachable!("a request is pending");
                };
                Ok(Progress::Responded(pending, Box::new(response?)))
            }
        }
    }

    /// True if bytes of an incomplete message arrived since the last call.
    pub(super) fn take_activity(&mut self) -> bool {
        match self {
            Self::Up(MessageConnection::Ev(connection)) => connection.take_activity(),
            Self::Up(MessageConnection::Ws(connection)) => connection.take_activity(),
            _ => false,
        }
    }

    /// The notice that no response arrives.
    pub(super) fn no_response(&self) -> Option<Notice> {
        let Self::Requested(pending) = self else {
            return None;
        };
        Some(Notice::NoResponse {
            url: shown(&pending.url),
            after: FIRST_BYTES,
        })
    }

    /// The protocol family that an event showed.
    pub(super) fn shown_dialect(&self) -> Option<Dialect> {
        match self {
            Self::Up(MessageConnection::Ev(connection)) => {
                connection.is_unframed().then_some(Dialect::Nchan)
            }
            _ => None,
        }
    }
}

impl MessageConnection {
    /// Opens an endless connection with the response to its request.
    ///
    /// # Errors
    /// Returns an error if the response is not one of the mode.
    pub(super) async fn open(
        response: Response,
        url: Url,
        key: Option<String>,
        settings: StreamSettings,
    ) -> Result<Self, Error> {
        let StreamSettings {
            mode,
            channels,
            is_unframed,
            max_message_bytes: limit,
        } = settings;
        Ok(match (mode, key) {
            (Mode::Ws, Some(key)) => Self::Ws(Box::new(
                WebSocketConnection::new(response, url, &key, channels, limit).await?,
            )),
            (Mode::Ev, _) => Self::Ev(EventSourceConnection::new(
                response,
                url,
                channels,
                is_unframed,
                limit,
            )?),
            (Mode::Stream | Mode::Ws | Mode::Lp | Mode::Poll, _) => Self::Stream(
                StreamConnection::new(response, url, channels, is_unframed, limit)?,
            ),
        })
    }

    async fn next(&mut self) -> Result<Option<Vec<Message>>, Error> {
        match self {
            Self::Stream(connection) => connection.next().await,
            Self::Ev(connection) => connection.next().await,
            Self::Ws(connection) => connection.next().await,
            Self::PollResponse => Ok(None),
        }
    }
}
