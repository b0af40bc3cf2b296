//! WebSocket: the handshake goes through the client's HTTP stack (one TLS and proxy configuration
//! for all modes), the frames of the upgraded connection through tungstenite, which also replies to
//! pings.

use futures_util::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode, Upgraded, Url};
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::activity::{Activity, ObservedStream};
use super::http;
use crate::client::dialect::{WS_META, parse_meta_frame};
use crate::client::error::Error;
use crate::client::error::lower_first;
use crate::client::message::Message;
use crate::client::parse;
use crate::client::url::shown;

type WsError = tokio_tungstenite::tungstenite::Error;
type Frame = tokio_tungstenite::tungstenite::Message;

/// An open websocket.
pub struct WebSocketConnection {
    frames: WebSocketStream<ObservedStream<Upgraded>>,
    activity: Activity,
    url: Url,
    /// The channels, if the server sends the id of each message before its text.
    meta: Option<Vec<String>>,
    /// Maximum size in bytes of a message.
    limit: usize,
}

/// Adds the headers of the handshake. Returns the key for verifying the response.
pub(crate) fn add_handshake(headers: &mut HeaderMap) -> String {
    let key = generate_key();
    headers.insert("Connection", HeaderValue::from_static("Upgrade"));
    headers.insert("Upgrade", HeaderValue::from_static("websocket"));
    headers.insert("Sec-WebSocket-Version", HeaderValue::from_static("13"));
    if let Ok(value) = HeaderValue::from_str(&key) {
        headers.insert("Sec-WebSocket-Key", value);
    }
    key
}

impl WebSocketConnection {
    pub(crate) async fn new(
        response: Response,
        url: Url,
        key: &str,
        channels: Vec<String>,
        limit: usize,
    ) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Protocol {
            url: shown(&url),
            reason: reason.to_owned(),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(wrong(
                "it is not a websocket (is another service running there? see --url, --mode and \
                 --sub-path)",
            ));
        }
        if http::header(&response, "Sec-WebSocket-Accept")
            != Some(&derive_accept_key(key.as_bytes()))
        {
            return Err(wrong("its Sec-WebSocket-Accept does not match the key"));
        }
        let meta = (http::header(&response, "Sec-WebSocket-Protocol") == Some(WS_META))
            .then_some(channels);
        let upgraded = response
            .upgrade()
            .await
            .map_err(|error| Error::from_http(&error, &url, None))?;
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(limit);
        config.max_frame_size = Some(limit);
        let activity = Activity::default();
        let watched = ObservedStream {
            inner: upgraded,
            activity: activity.clone(),
        };
        let frames = WebSocketStream::from_raw_socket(watched, Role::Client, Some(config)).await;
        Ok(Self {
            frames,
            activity,
            url,
            meta,
            limit,
        })
    }

    /// True if bytes arrived since the last call, even of an incomplete message.
    pub(crate) fn take_activity(&mut self) -> bool {
        self.activity.take()
    }

    /// Returns the next message, or an empty list for a ping; `None` if the server closed the
    /// connection.
    ///
    /// # Errors
    /// [`Error::Status`] if the close frame has an error status, [`Error::Broken`] if the
    /// connection broke.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Message>>, Error> {
        match self.frames.next().await {
            Some(Ok(Frame::Text(text))) => Ok(Some(vec![self.message(text.as_bytes())])),
            Some(Ok(Frame::Binary(bytes))) => Ok(Some(vec![self.message(&bytes)])),
            Some(Ok(Frame::Close(frame))) => self.closed(frame.as_ref()),
            Some(Ok(_)) => Ok(Some(Vec::new())),
            Some(Err(WsError::Capacity(_))) => Err(Error::TooLarge {
                url: shown(&self.url),
                limit: self.limit,
            }),
            Some(Err(error)) => {
                let reason = match &error {
                    WsError::Protocol(error) => error.to_string(),
                    WsError::Io(error) => error.kind().to_string(),
                    other => other.to_string(),
                };
                Err(Error::Broken {
                    url: shown(&self.url),
                    reason: lower_first(&reason),
                })
            }
            None => Ok(None),
        }
    }

    fn message(&self, bytes: &[u8]) -> Message {
        match &self.meta {
            Some(channels) => parse_meta_frame(bytes, channels),
            None => parse::framed(bytes),
        }
    }

    /// Handles a close frame. nginx-push-stream-module accepts every handshake and sends an error
    /// status in the close frame (push-stream.md, section 12).
    fn closed(&self, frame: Option<&CloseFrame>) -> Result<Option<Vec<Message>>, Error> {
        let url = shown(&self.url);
        let Some(frame) = frame else { return Ok(None) };
        if let Ok(Value::Object(reason)) = serde_json::from_str(&frame.reason)
            && let Some(status) = reason
                .get("http_status")
                .and_then(Value::as_u64)
                .and_then(|status| u16::try_from(status).ok())
        {
            let explain = reason
                .get("explain")
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned);
            return Err(Error::Status {
                url,
                status,
                explain,
            });
        }
        match frame.code {
            CloseCode::Normal | CloseCode::Away | CloseCode::Status => Ok(None),
            code => Err(Error::Broken {
                url,
                reason: format!("closed with code {} {}", u16::from(code), frame.reason)
                    .trim_end()
                    .to_owned(),
            }),
        }
    }
}
