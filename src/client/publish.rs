//! Publishing: one POST per message. It is never sent twice, because the server may have taken the
//! first.
//!
//! | status | meaning |
//! |---|---|
//! | 200 | taken; the body is the channel info, or empty if the location does not tell (or the rest of the answer did not come) |
//! | 200 with an HTML page | not taken: no push server answers so, but a proxy or another website does |
//! | 301, 302, … | sent elsewhere, and not followed |
//! | 400, 403, 413, … | refused, with the reason in `X-Nginx-PushStream-Explain` |
//!
//! [`publish`] sends one message. Many go through a [`Publisher`]: pipelined over plain HTTP
//! ([`super::pipeline`]), one after the other where that cannot be (https, a proxy).

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

/// The event type in the words of nchan (nhpm-nchan.md, section 2.4).
const NCHAN_EVENT_TYPE: &str = "X-EventSource-Event";

/// What to publish.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// The message.
    pub text: Vec<u8>,
    /// `Event-Id`
    pub event_id: Option<String>,
    /// `Event-Type`
    pub event_type: Option<String>,
    /// `Content-Type`
    pub content_type: Option<String>,
}

impl Publication {
    /// Its headers.
    ///
    /// # Errors
    /// [`Error::Request`] if a header cannot carry one.
    pub fn headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        headers.insert("Accept", HeaderValue::from_static("application/json"));
        let optional = [
            (EVENT_ID, &self.event_id),
            (EVENT_TYPE, &self.event_type),
            // The same for nchan; either server looks at its own only.
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

/// Posts to `url` and returns the server's channel info (as it came).
///
/// # Errors
/// Any [`Error`]; whether the message was taken is unknown after [`Error::Broken`] and
/// [`Error::TimedOut`].
pub async fn publish(
    client: &Http,
    url: &Url,
    publication: Publication,
    timeout: Duration,
) -> Result<Vec<u8>, Error> {
    let (is_html, body) = post(client, url, publication, timeout).await?;
    page::refuse(url, is_html, &body)?;
    Ok(body)
}

/// What a success says, and whether as a page.
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
        return Err(http::status_error(&response, url).at("--pub-path"));
    }
    let is_html = http::header(&response, "Content-Type").is_some_and(page::is_html);
    // It is published, whatever happens to the rest of the answer.
    Ok((
        is_html,
        http::body_up_to(http::MAX_INFO_BYTES, response, url, Some(timeout))
            .await
            .unwrap_or_default(),
    ))
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Posting {
    /// By which the caller knows it.
    pub number: u64,
    /// Where to.
    pub url: Arc<Url>,
    /// What.
    pub publication: Publication,
}

/// What became of a message.
#[derive(Debug)]
pub struct PublishOutcome {
    /// Which one.
    pub number: u64,
    /// The server's channel info, or why it refused.
    pub result: Result<Vec<u8>, Error>,
}

/// Publishes many messages.
#[derive(Debug)]
pub enum Publisher {
    /// Requests are sent ahead of their answers.
    Pipelined(Box<Pipeline>),
    /// One after the other.
    Single(Sequence),
}

impl Publisher {
    /// A publisher to the server of `url`, the best that there can be. It connects with the first
    /// message.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if the name cannot be resolved.
    pub async fn new(
        client: Http,
        headers: &HeaderMap,
        url: &Url,
        limits: Limits,
    ) -> Result<Self, Error> {
        if url.scheme() != "http" || (http::may_use_proxy() && unix_socket::path(url).is_none()) {
            return Ok(Self::Single(Sequence {
                client,
                timeout: limits.timeout,
                waiting: VecDeque::new(),
                current: None,
            }));
        }
        let target = Target::resolve(url, headers).await?;
        Ok(Self::Pipelined(Box::new(Pipeline::new(target, limits))))
    }

    /// True if another message may be given to it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match self {
            Self::Pipelined(pipeline) => pipeline.has_room(),
            Self::Single(sequence) => sequence.waiting.is_empty() && sequence.current.is_none(),
        }
    }

    /// True if nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Pipelined(pipeline) => pipeline.is_idle(),
            Self::Single(sequence) => sequence.waiting.is_empty() && sequence.current.is_none(),
        }
    }

    /// Takes a message.
    ///
    /// # Errors
    /// [`Error::Request`] if it cannot be sent.
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

    /// Sends and reads until there are answers. Waits for ever if there is nothing to do; may be
    /// dropped and called again.
    ///
    /// # Errors
    /// What ended it; nothing can be done afterwards but to ask what is
    /// [unanswered](Self::unanswered).
    pub async fn progress(&mut self) -> Result<Vec<PublishOutcome>, Error> {
        match self {
            Self::Pipelined(pipeline) => pipeline.progress().await,
            Self::Single(sequence) => sequence.progress().await.map(|answer| vec![answer]),
        }
    }

    /// Takes back what was not sent yet, and returns the first of it.
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

    /// The messages of which nobody knows whether the server took them.
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

/// One message after the other over the common HTTP stack, which keeps the connection.
pub struct Sequence {
    client: Http,
    timeout: Duration,
    waiting: VecDeque<Posting>,
    current: Option<Current>,
}

/// An answer came: what it tells, or why it is a refusal.
type Answered = Result<Vec<u8>, Error>;

struct Current {
    number: u64,
    answer: Pin<Box<dyn Future<Output = Result<Answered, Error>>>>,
}

impl fmt::Debug for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sequence")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl Sequence {
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
            let answer = Box::pin(async move {
                let (is_html, body) = post(&client, &url, publication, timeout).await?;
                // An answer, though not that of a push server: it is refused and not unanswered.
                Ok(page::refuse(&url, is_html, &body).map(|()| body))
            });
            self.current = Some(Current { number, answer });
        }
        let current = self.current.as_mut().expect("it was put there");
        let number = current.number;
        let result = (&mut current.answer).await;
        match result {
            // The message may have been taken: it stays among the unanswered, with a future that is
            // not asked again.
            Err(
                error @ (Error::Broken { .. } | Error::TimedOut { .. } | Error::Protocol { .. }),
            ) => {
                self.current = Some(Current {
                    number,
                    answer: Box::pin(std::future::pending()),
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
