//! Publishing of many messages to one server: pipelined if possible, else one after the other.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;

use super::pipeline::{Pipeline, PipelineLimits};
use super::publication::{Posting, PublishOutcome, post};
use crate::client::error::Error;
use crate::client::transport::http::{self, Http};
use crate::client::transport::page;
use crate::client::transport::raw_http::Target;
use crate::client::url::unix_socket;

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
        limits: PipelineLimits,
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
