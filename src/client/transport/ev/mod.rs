//! EventSource: the client's HTTP stack sends the request, `eventsource-client` parses the events.
//!
//! The transport of `eventsource-client` returns the response that is already open, so TLS,
//! proxies, statuses and position headers are the same as in the other modes. Its reconnect logic
//! is disabled, because a position is more than a last event id.

mod adapted_body;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use eventsource_client::{BoxStream, Client as _, ClientBuilder, ReconnectOptions, SSE};
use futures_util::StreamExt as _;
use launchdarkly_sdk_transport::{
    ByteStream, HttpTransport, Request, ResponseFuture, TransportError,
};
use parking_lot::Mutex;
use reqwest::{Response, Url};

use self::adapted_body::{AdaptedBody, EventTooLarge, LineEnds};
use super::activity::Activity;
use super::cr_escape;
use super::http;
use crate::client::dialect::MessageId;
use crate::client::error::Error;
use crate::client::message::Message;
use crate::client::parse;
use crate::client::url::shown;
use crate::message::Position;

/// 2001-09-09: an event id with a smaller number is not a time.
const FIRST_TIME: u64 = 1_000_000_000;

/// An open event stream.
pub struct EventSourceConnection {
    events: BoxStream<eventsource_client::Result<SSE>>,
    url: Url,
    /// Id of the last event. An event without an id inherits it, so only a different id belongs to
    /// the event.
    last_id: Option<String>,
    channels: Vec<String>,
    /// The server speaks nchan: the data is the message, the id is the message id.
    is_unframed: bool,
    /// The response head does not identify the protocol family.
    is_unknown: bool,
    line_ends: Arc<OnceLock<LineEnds>>,
    activity: Activity,
    /// Maximum size in bytes of an event.
    limit: usize,
}

impl EventSourceConnection {
    pub(crate) fn new(
        response: Response,
        url: Url,
        channels: Vec<String>,
        is_unframed: bool,
        limit: usize,
    ) -> Result<Self, Error> {
        let is_unknown = !is_unframed && !response.headers().contains_key("expires");
        let kind = http::header(&response, "Content-Type")
            .unwrap_or("text/event-stream")
            .to_ascii_lowercase();
        if !kind.starts_with("text/event-stream") {
            return Err(Error::Protocol {
                url: shown(&url),
                reason: format!(
                    "it is not an event stream but {kind} (is another service running there? see \
                     --url, --mode \
                     and --sub-path)"
                ),
            });
        }
        let refuse = |error: eventsource_client::Error| Error::Protocol {
            url: shown(&url),
            reason: error.to_string(),
        };
        let line_ends = Arc::new(OnceLock::new());
        match is_unframed {
            true => drop(line_ends.set(LineEnds::Lf)),
            false if !is_unknown => drop(line_ends.set(LineEnds::All)),
            false => {}
        }
        let activity = Activity::default();
        let response = Arc::new(Mutex::new(Some(response)));
        let opened = ResponseTransport {
            response,
            line_ends: Arc::clone(&line_ends),
            activity: activity.clone(),
            limit,
        };
        let builder = ClientBuilder::for_url(url.as_str()).map_err(refuse)?;
        let never = ReconnectOptions::reconnect(false)
            .retry_initial(false)
            .build();
        let events = builder
            .reconnect(never)
            .redirect_limit(0)
            .build_with_transport(opened)
            .stream();
        Ok(Self {
            events,
            url,
            last_id: None,
            channels,
            is_unframed,
            is_unknown,
            line_ends,
            activity,
            limit,
        })
    }

    /// True if bytes arrived since the last call, even of an incomplete event.
    pub(crate) fn take_activity(&mut self) -> bool {
        self.activity.take()
    }

    /// Returns the next message, or an empty list for a comment; `None` if the server ended the
    /// stream.
    ///
    /// # Errors
    /// [`Error::Broken`] if the connection broke, [`Error::Protocol`] if the body is not an event
    /// stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Message>>, Error> {
        let mut next = self.events.next().await;
        while matches!(next, Some(Ok(SSE::Connected(_)))) {
            // An event of the parser itself, before the first data.
            next = self.events.next().await;
        }
        if let (Some(Ok(SSE::Event(event))), Some(LineEnds::Lf)) = (&mut next, self.line_ends.get())
        {
            event.data = cr_escape::unescape(&event.data);
            event.event_type = cr_escape::unescape(&event.event_type);
            event.id = event.id.as_deref().map(cr_escape::unescape);
        }
        match next {
            Some(Ok(SSE::Event(event))) if self.detect_nchan(&event) => {
                let id = event.id.as_deref().and_then(MessageId::parse);
                // Pings are events without their own id.
                let Some(id) = id.filter(|_| event.id != self.last_id) else {
                    return Ok(Some(Vec::new()));
                };
                self.last_id.clone_from(&event.id);
                let mut message = id.message(event.data.as_bytes(), &self.channels);
                message.event_type = Some(event.event_type).filter(|kind| kind != "message");
                Ok(Some(vec![message]))
            }
            Some(Ok(SSE::Event(event))) => {
                let mut message = parse::event(&event.data);
                if event.id != self.last_id {
                    self.last_id.clone_from(&event.id);
                    // The event ids of pushctl are positions, which are also in the message.
                    let position = message
                        .time
                        .zip(message.tag)
                        .map(|(time, tag)| Position::new(time, tag).event_id());
                    message.event_id = message.event_id.or(event
                        .id
                        .filter(|id| !id.is_empty() && position.as_ref() != Some(id)));
                }
                message.event_type = Some(event.event_type).filter(|kind| kind != "message");
                Ok(Some(vec![message]))
            }
            // Comments are the header and the pings (push-stream.md, section 11).
            Some(Ok(SSE::Comment(_) | SSE::Connected(_))) => Ok(Some(Vec::new())),
            None | Some(Err(eventsource_client::Error::Eof)) => Ok(None),
            Some(Err(error)) => Err(self.map_error(&error)),
        }
    }

    /// True if an event showed that the server speaks nchan.
    pub(crate) fn is_unframed(&self) -> bool {
        self.is_unframed
    }

    fn detect_nchan(&mut self, event: &eventsource_client::Event) -> bool {
        let is_recent = |id: MessageId| id.time > FIRST_TIME;
        self.is_unframed |= self.is_unknown
            && event
                .id
                .as_deref()
                .and_then(MessageId::parse)
                .is_some_and(is_recent);
        self.is_unframed
    }

    fn map_error(&self, error: &eventsource_client::Error) -> Error {
        let url = shown(&self.url);
        match error {
            eventsource_client::Error::InvalidLine(_) | eventsource_client::Error::InvalidEvent => {
                Error::Protocol {
                    url,
                    reason: error.to_string(),
                }
            }
            eventsource_client::Error::UnexpectedEof => Error::Broken {
                url,
                reason: "it ended in the middle of an event".to_owned(),
            },
            eventsource_client::Error::Transport(cause) => {
                match cause.inner().downcast_ref::<reqwest::Error>() {
                    Some(error) => Error::from_http(error, &self.url, None),
                    None if cause.inner().is::<EventTooLarge>() => Error::TooLarge {
                        url,
                        limit: self.limit,
                    },
                    None => Error::Broken {
                        url,
                        reason: cause.inner().to_string(),
                    },
                }
            }
            other => Error::Broken {
                url,
                reason: other.to_string(),
            },
        }
    }
}

/// A transport that returns one open response, once.
#[derive(Clone)]
struct ResponseTransport {
    response: Arc<Mutex<Option<Response>>>,
    line_ends: Arc<OnceLock<LineEnds>>,
    activity: Activity,
    /// Maximum size in bytes of an event.
    limit: usize,
}

impl HttpTransport for ResponseTransport {
    fn request(&self, _request: Request<Option<Bytes>>) -> ResponseFuture {
        let response = self.response.lock().take();
        Box::pin(std::future::ready(match response {
            Some(response) => {
                let activity = self.activity.clone();
                let bytes = response.bytes_stream().inspect(move |_| activity.set());
                let body =
                    AdaptedBody::new(Box::pin(bytes), Arc::clone(&self.line_ends), self.limit);
                Ok(launchdarkly_sdk_transport::Response::new(
                    Box::pin(body) as ByteStream
                ))
            }
            None => Err(TransportError::new(std::io::Error::other(
                "the response was read before",
            ))),
        }))
    }
}
