//! Publishing: one POST per message. It is never sent twice, because the server may have accepted
//! the first request.
//!
//! | status | meaning |
//! |---|---|
//! | 200 | accepted; the body is the channel info, or empty |
//! | 200 with an HTML page | not accepted: the response of a proxy or another web server |
//! | 301, 302, … | redirected; not followed |
//! | 400, 403, 413, … | rejected, with the reason in `X-Nginx-PushStream-Explain` |
//!
//! [`publish`] sends one message. A [`Publisher`] sends many: pipelined over plain HTTP
//! ([`super::pipeline`]), one after the other over https or a proxy.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::pipeline::{Limits, Pipeline};
use super::raw_http::Target;
use super::{Error, Http, http, page, unix_socket};
use crate::protocol::{EVENT_ID, EVENT_TYPE};

/// The header of the event type in nchan (nhpm-nchan.md, section 2.4).
const NCHAN_EVENT_TYPE: &str = "X-EventSource-Event";

/// A message to publish.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// The payload.
    pub text: Vec<u8>,
    /// `Event-Id`
    pub event_id: Option<String>,
    /// `Event-Type`
    pub event_type: Option<String>,
    /// `Content-Type`
    pub content_type: Option<String>,
}

impl Publication {
    /// Returns the headers of the request.
    ///
    /// # Errors
    /// [`Error::Request`] if a value is not a valid header value.
    pub fn headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        headers.insert("Accept", HeaderValue::from_static("application/json"));
        let optional = [
            (EVENT_ID, &self.event_id),
            (EVENT_TYPE, &self.event_type),
            // The same for nchan; either server ignores the header of the other.
            (NCHAN_EVENT_TYPE, &self.event_type),
            ("Content-Type", &self.content_type),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                let name = name.to_ascii_lowercase();
                let value = http::header_value(&name, value)?;
                headers.insert(
                    HeaderName::from_bytes(name.as_bytes()).expect("the names are constants"),
                    value,
                );
            }
        }
        Ok(headers)
    }
}

/// Posts to `url`. Returns the server's channel info unchanged.
///
/// # Errors
/// Any [`Error`]; after [`Error::Broken`] and [`Error::TimedOut`] it is unknown whether the message
/// was published.
pub async fn publish(
    client: &Http,
    url: &Url,
    publication: Publication,
    timeout: Duration,
) -> Result<Vec<u8>, Error> {
    let (is_html, body) = post(client, url, publication, timeout).await?;
    page::reject_page(url, is_html, &body)?;
    Ok(body)
}

/// Returns the body of a success, and whether it is HTML.
async fn post(
    client: &Http,
    url: &Url,
    publication: Publication,
    timeout: Duration,
) -> Result<(bool, Vec<u8>), Error> {
    let headers = publication.headers()?;
    let response = client
        .request(
            Method::POST,
            url,
            headers,
            Some(publication.text),
            Some(timeout),
        )
        .await?;
    if !response.status().is_success() {
        return Err(http::status_error(&response, url).with_path_option("--pub-path"));
    }
    let is_html = http::header(&response, "Content-Type").is_some_and(page::is_html);
    // The message is published even if the rest of the response is lost.
    Ok((
        is_html,
        http::body_up_to(http::MAX_INFO_BYTES, response, url, Some(timeout))
            .await
            .unwrap_or_default(),
    ))
}

/// A message with its destination.
#[derive(Clone, Debug)]
pub struct Posting {
    /// Number that identifies the message to the caller.
    pub number: u64,
    /// URL of the publisher location.
    pub url: Arc<Url>,
    /// The message.
    pub publication: Publication,
}

/// The result of publishing one message.
#[derive(Debug)]
pub struct PublishOutcome {
    /// Number of the message.
    pub number: u64,
    /// The server's channel info, or the reason of the rejection.
    pub result: Result<Vec<u8>, Error>,
}

/// Publishes many messages.
#[derive(Debug)]
pub enum Publisher {
    /// Sends requests before the responses to earlier ones.
    Pipelined(Box<Pipeline>),
    /// Sends one request after the other.
    Single(SequentialPublisher),
}

impl Publisher {
    /// Creates a publisher for the server of `url`, pipelined if possible. It connects with the
    /// first message.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if the host name cannot be resolved.
    pub async fn new(
        client: Http,
        headers: &HeaderMap,
        url: &Url,
        limits: Limits,
    ) -> Result<Self, Error> {
        if url.scheme() != "http" || (http::may_use_proxy() && unix_socket::path(url).is_none()) {
            return Ok(Self::Single(SequentialPublisher {
                client,
                timeout: limits.timeout,
                waiting: VecDeque::new(),
                current: None,
            }));
        }
        let target = Target::resolve(url, headers).await?;
        Ok(Self::Pipelined(Box::new(Pipeline::new(target, limits))))
    }

    /// True if another message can be queued.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match self {
            Self::Pipelined(pipeline) => pipeline.has_room(),
            Self::Single(sequence) => sequence.waiting.is_empty() && sequence.current.is_none(),
        }
    }

    /// True if no message is queued or in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Pipelined(pipeline) => pipeline.is_idle(),
            Self::Single(sequence) => sequence.waiting.is_empty() && sequence.current.is_none(),
        }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`Error::Request`] if it is not a valid request.
    pub fn push(&mut self, posting: Posting) -> Result<(), Error> {
        match self {
            Self::Pipelined(pipeline) => pipeline.push(posting),
            Self::Single(sequence) => {
                posting.publication.headers()?;
                sequence.waiting.push_back(posting);
                Ok(())
            }
        }
    }

    /// Sends and receives until there are responses. Pends while no message is queued; cancel-safe.
    ///
    /// # Errors
    /// The error that ended the publisher. Afterwards only [`Self::unanswered`] is meaningful.
    pub async fn progress(&mut self) -> Result<Vec<PublishOutcome>, Error> {
        match self {
            Self::Pipelined(pipeline) => pipeline.progress().await,
            Self::Single(sequence) => sequence.progress().await.map(|outcome| vec![outcome]),
        }
    }

    /// Removes the messages that were not sent, and returns the number of the first one.
    pub fn take_back(&mut self) -> Option<u64> {
        match self {
            Self::Pipelined(pipeline) => pipeline.take_back(),
            Self::Single(sequence) => sequence
                .waiting
                .drain(..)
                .map(|posting| posting.number)
                .min(),
        }
    }

    /// The messages of which it is unknown whether the server accepted them.
    #[must_use]
    pub fn unanswered(&self) -> Vec<u64> {
        match self {
            Self::Pipelined(pipeline) => pipeline.unanswered(),
            Self::Single(sequence) => sequence
                .current
                .iter()
                .map(|current| current.number)
                .collect(),
        }
    }
}

/// Sends one message after the other over the common HTTP stack, which keeps the connection open.
pub struct SequentialPublisher {
    client: Http,
    timeout: Duration,
    waiting: VecDeque<Posting>,
    current: Option<InFlight>,
}

/// The channel info of a response, or the reason of the rejection.
type PublishResponse = Result<Vec<u8>, Error>;

struct InFlight {
    number: u64,
    response: Pin<Box<dyn Future<Output = Result<PublishResponse, Error>>>>,
}

impl fmt::Debug for SequentialPublisher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SequentialPublisher")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl SequentialPublisher {
    async fn progress(&mut self) -> Result<PublishOutcome, Error> {
        if self.current.is_none() {
            let Some(Posting {
                number,
                url,
                publication,
            }) = self.waiting.pop_front()
            else {
                return std::future::pending().await;
            };
            let client = self.client.clone();
            let timeout = self.timeout;
            let response = Box::pin(async move {
                let (is_html, body) = post(&client, &url, publication, timeout).await?;
                // A page is a response, so the message is rejected and not unanswered.
                Ok(page::reject_page(&url, is_html, &body).map(|()| body))
            });
            self.current = Some(InFlight { number, response });
        }
        let current = self.current.as_mut().expect("it was put there");
        let number = current.number;
        let result = (&mut current.response).await;
        match result {
            // The message may have been accepted: it stays among the unanswered ones, with a future
            // that never completes.
            Err(
                error @ (Error::Broken { .. } | Error::TimedOut { .. } | Error::Protocol { .. }),
            ) => {
                self.current = Some(InFlight {
                    number,
                    response: Box::pin(std::future::pending()),
                });
                Err(error)
            }
            Err(error @ Error::Unreachable { .. }) => {
                self.current = None;
                Err(error)
            }
            Err(error) => {
                self.current = None;
                Ok(PublishOutcome {
                    number,
                    result: Err(error),
                })
            }
            Ok(result) => {
                self.current = None;
                Ok(PublishOutcome { number, result })
            }
        }
    }
}
