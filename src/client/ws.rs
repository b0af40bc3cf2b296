//! WebSocket: the handshake goes through our own HTTP stack (one TLS and proxy configuration for
//! all modes), the frames of the upgraded connection through tungstenite, which also answers pings.

use futures_util::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode, Upgraded, Url};
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::activity::{Activity, Watched};
use super::dialect::{WS_META, meta_frame};
use super::error::{lower_first, shown};
use super::{Error, Message, http, parse};

type WsError = tokio_tungstenite::tungstenite::Error;
type Frame = tokio_tungstenite::tungstenite::Message;

/// An open websocket.
pub struct Connection {
    frames: WebSocketStream<Watched<Upgraded>>,
    activity: Activity,
    url: Url,
    /// The channels, if the server tells the ids of messages before their texts.
    meta: Option<Vec<String>>,
    /// Most bytes of a message.
    limit: usize,
}

/// Adds the headers of the handshake and returns the key that the server has to answer.
pub(super) fn ask(headers: &mut HeaderMap) -> String {
    let key = generate_key();
    headers.insert("Connection", HeaderValue::from_static("Upgrade"));
    headers.insert("Upgrade", HeaderValue::from_static("websocket"));
    headers.insert("Sec-WebSocket-Version", HeaderValue::from_static("13"));
    if let Ok(value) = HeaderValue::from_str(&key) {
        headers.insert("Sec-WebSocket-Key", value);
    }
    key
}

impl Connection {
    pub(super) async fn new(
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
                "it is no websocket (something else is there? see --url, --mode and --sub-path)",
            ));
        }
        if http::header(&response, "Sec-WebSocket-Accept")
            != Some(&derive_accept_key(key.as_bytes()))
        {
            return Err(wrong("its Sec-WebSocket-Accept does not fit our key"));
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
        let watched = Watched {
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

    /// True if bytes have come since this was last asked, be it of a message that is not complete.
    pub(super) fn take_activity(&mut self) -> bool {
        self.activity.take()
    }

    /// The next message, or none for a ping; `None` when the server closed the connection.
    ///
    /// # Errors
    /// [`Error::Status`] when the server closed it as refused, [`Error::Broken`] when it broke.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Message>>, Error> {
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
            Some(channels) => meta_frame(bytes, channels),
            None => parse::framed(bytes),
        }
    }

    /// The module accepts every handshake and tells a refusal in the close frame (push-stream.md,
    /// section 12).
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
