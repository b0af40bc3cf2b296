//! Many messages over one plain HTTP/1.1 connection, pipelined (RFC 9112, section 9.3.2).
//!
//! Responses arrive in the order of the requests. A request is sent twice only if the server cannot
//! have processed the first one: a server that announces the end of the connection in a response
//! ignores later requests (RFC 9112, section 9.6; nginx does so after 1000 requests). When a
//! connection breaks without announcement, it is unknown whether the unanswered requests were
//! processed; they are sent again if [`PipelineLimits::resends`] is set.

mod connection;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use self::connection::{PipelinedConnection, PipelinedRequest};
use crate::client::error::Error;
use crate::client::publish::publication::{Posting, PublishOutcome};
use crate::client::transport::raw_http::socket::Socket;
use crate::client::transport::raw_http::{BUFFER_BYTES, Target};
use crate::client::url::shown;

/// Time-out for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of bytes of unanswered requests; a larger request is sent alone.
const MAX_UNANSWERED_BYTES: usize = 1 << 20;
/// Number of broken connections in a row, without a response, after which messages are not sent
/// again.
const MAX_BREAKS: u32 = 5;

/// Limits of a pipeline.
#[derive(Clone, Copy, Debug)]
pub struct PipelineLimits {
    /// Time without a response after which the pipeline fails.
    pub timeout: Duration,
    /// Maximum number of unanswered requests.
    pub in_flight: usize,
    /// Sends unanswered requests again when the connection breaks. Messages may then be published
    /// twice.
    pub resends: bool,
}

/// A pipeline of publications.
#[derive(Debug)]
pub struct Pipeline {
    target: Target,
    limits: PipelineLimits,
    connection: Option<PipelinedConnection>,
    connecting: Option<Connecting>,
    /// Requests that were not sent.
    waiting: VecDeque<PipelinedRequest>,
    /// Number of requests after which the server closed the last connection.
    max_requests_per_connection: Option<u64>,
    breaks: u32,
    /// The error that ended the pipeline, returned after the responses that arrived before.
    failure: Option<Error>,
    buffer: Vec<u8>,
}

/// A connection attempt, kept so that a cancelled call does not restart it.
struct Connecting(Pin<Box<dyn Future<Output = Result<Socket, Error>>>>);

impl fmt::Debug for Connecting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connecting")
    }
}

impl Pipeline {
    /// Creates a pipeline to `target`, which connects with the first request.
    #[must_use]
    pub fn new(target: Target, limits: PipelineLimits) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self {
            target,
            limits,
            connection: None,
            connecting: None,
            waiting: VecDeque::new(),
            max_requests_per_connection: None,
            breaks: 0,
            failure: None,
            buffer,
        }
    }

    /// True if another message can be queued.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let (sent, bytes) = self.connection.as_ref().map_or((0, 0), |connection| {
            (connection.sent.len(), connection.sent_bytes)
        });
        let waiting: usize = self.waiting.iter().map(|request| request.wire.len()).sum();
        let count = sent + self.waiting.len();
        count == 0 || (count < self.limits.in_flight && bytes + waiting < MAX_UNANSWERED_BYTES)
    }

    /// True if no message is queued or in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self
                .connection
                .as_ref()
                .is_none_or(|connection| connection.sent.is_empty())
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`Error::Request`] if it is not a valid request.
    pub fn push(&mut self, posting: Posting) -> Result<(), Error> {
        let Posting {
            number,
            url,
            publication,
        } = posting;
        let mut lines = String::new();
        for (name, value) in &publication.headers()? {
            let value = value
                .to_str()
                .map_err(|_| Error::Request(format!("cannot send {name}: it is not ascii")))?;
            lines.extend([name.as_str(), ": ", value, "\r\n"]);
        }
        lines.push_str(&format!("Content-Length: {}\r\n", publication.text.len()));
        let mut wire = self.target.request("POST", &url, &lines).into_bytes();
        wire.extend_from_slice(&publication.text);
        self.waiting
            .push_back(PipelinedRequest { number, url, wire });
        if self.connection.is_some() {
            self.fill();
        }
        Ok(())
    }

    /// Returns the numbers of the messages that were sent and have no response.
    #[must_use]
    pub fn unanswered(&self) -> Vec<u64> {
        let Some(connection) = &self.connection else {
            return Vec::new();
        };
        // A server processes complete requests only.
        connection
            .sent
            .iter()
            .filter(|(_, end)| *end <= connection.written)
            .map(|(request, _)| request.number)
            .collect()
    }

    /// Removes the messages that were not sent, and returns the number of the first one.
    pub fn take_back(&mut self) -> Option<u64> {
        self.waiting.drain(..).map(|request| request.number).min()
    }

    /// Sends and receives until there are responses; cancel-safe.
    ///
    /// # Errors
    /// The error that ended the pipeline.
    pub async fn progress(&mut self) -> Result<Vec<PublishOutcome>, Error> {
        loop {
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if self.connection.is_none() {
                if self.waiting.is_empty() {
                    return std::future::pending().await;
                }
                self.connect().await?;
            }
            self.fill();
            let connection = self.connection.as_mut().expect("it was made");
            let ready = connection.ready(self.limits.timeout).await?;
            if ready.is_writable() {
                connection.write();
            }
            if !ready.is_readable() {
                continue;
            }
            let mut outcomes = Vec::new();
            let end = connection.read(&mut self.buffer, self.limits.timeout, &mut outcomes);
            if !outcomes.is_empty() {
                self.breaks = 0;
            }
            let outcome =
                end.and_then(|end| end.map_or(Ok(()), |reason| self.handle_close(&reason)));
            self.failure = outcome.err();
            if !outcomes.is_empty() {
                return Ok(outcomes);
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        let connecting = self.connecting.get_or_insert_with(|| {
            let url = self
                .waiting
                .front()
                .map(|request| shown(&request.url))
                .unwrap_or_default();
            let target = self.target.clone();
            Connecting(Box::pin(async move {
                let socket = timeout_at(Instant::now() + CONNECT_TIMEOUT, target.connect()).await;
                socket.map_err(|_| Error::Unreachable {
                    url,
                    reason: "connection timed out".to_owned(),
                })?
            }))
        });
        let socket = (&mut connecting.0).await;
        self.connecting = None;
        let socket = socket?;
        self.connection = Some(PipelinedConnection::new(socket));
        Ok(())
    }

    /// Passes waiting requests to the connection.
    fn fill(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        while !connection.is_write_closed && !connection.is_ending() {
            // A server that closes after N requests would ignore more; if it did not close, it
            // accepts more.
            if self
                .max_requests_per_connection
                .is_some_and(|most| connection.requests >= most)
            {
                if !connection.sent.is_empty() {
                    return;
                }
                self.max_requests_per_connection = None;
            }
            let Some(request) = self.waiting.pop_front() else {
                return;
            };
            connection.queue(request, self.limits.timeout);
        }
    }

    /// Handles the end of the connection: decides whether unanswered requests are sent again.
    fn handle_close(&mut self, reason: &str) -> Result<(), Error> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let is_announced = connection.is_ending();
        // The end of an idle connection loses nothing.
        let url = connection
            .sent
            .front()
            .map(|(request, _)| shown(&request.url));
        if let Some(url) = url.filter(|_| !is_announced) {
            self.breaks += 1;
            if !self.limits.resends || self.breaks > MAX_BREAKS {
                return Err(Error::Broken {
                    url,
                    reason: reason.to_owned(),
                });
            }
        }
        if is_announced {
            self.max_requests_per_connection = Some(connection.answered.max(1));
        }
        for (request, _) in connection.sent.drain(..).rev() {
            self.waiting.push_front(request);
        }
        self.connection = None;
        Ok(())
    }
}
