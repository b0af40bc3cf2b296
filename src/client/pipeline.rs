//! Many messages over one plain HTTP/1.1 connection, pipelined (RFC 9112, section 9.3.2).
//!
//! Responses arrive in the order of the requests. A request is sent twice only if the server cannot
//! have processed the first one: a server that announces the end of the connection in a response
//! ignores later requests (RFC 9112, section 9.6; nginx does so after 1000 requests). When a
//! connection breaks without announcement, it is unknown whether the unanswered requests were
//! processed; they are sent again if [`Limits::resends`] is set.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use reqwest::Url;
use tokio::io::Interest;
use tokio::time::{Instant, timeout_at};

use super::error::shown;
use super::publish::{Posting, PublishOutcome};
use super::raw_http::response::{Head, ResponseDecoder, ResponsePart};
use super::raw_http::socket::Socket;
use super::raw_http::{BUFFER_BYTES, Target};
use super::{Error, page};

/// Time-out for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of bytes of unanswered requests; a larger request is sent alone.
const MAX_UNANSWERED_BYTES: usize = 1 << 20;
/// Maximum number of bytes of a response body that are kept.
const MAX_KEPT_BYTES: usize = 64 << 10;
/// Number of broken connections in a row, without a response, after which messages are not sent
/// again.
const MAX_BREAKS: u32 = 5;

/// Limits of a pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
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
    limits: Limits,
    connection: Option<PipelinedConnection>,
    connecting: Option<Connecting>,
    /// Requests that were not sent.
    waiting: VecDeque<Request>,
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

#[derive(Debug)]
struct Request {
    number: u64,
    url: std::sync::Arc<Url>,
    wire: Vec<u8>,
}

#[derive(Debug)]
struct PipelinedConnection {
    socket: Socket,
    decoder: ResponseDecoder,
    /// Requests passed to the socket or about to be, in order; each with the value of `written` at
    /// its end.
    sent: VecDeque<(Request, u64)>,
    sent_bytes: usize,
    /// Bytes to write, starting at `out_start`.
    out: Vec<u8>,
    out_start: usize,
    written: u64,
    /// Writing failed; responses may still arrive.
    is_write_closed: bool,
    requests: u64,
    answered: u64,
    head: Option<Head>,
    body: Vec<u8>,
    deadline: Instant,
}

impl Pipeline {
    /// Creates a pipeline to `target`, which connects with the first request.
    #[must_use]
    pub fn new(target: Target, limits: Limits) -> Self {
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
        self.waiting.push_back(Request { number, url, wire });
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
        self.connection = Some(PipelinedConnection {
            socket,
            decoder: ResponseDecoder::default(),
            sent: VecDeque::new(),
            sent_bytes: 0,
            out: Vec::new(),
            out_start: 0,
            written: 0,
            is_write_closed: false,
            requests: 0,
            answered: 0,
            head: None,
            body: Vec::new(),
            deadline: Instant::now(),
        });
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

impl PipelinedConnection {
    fn queue(&mut self, request: Request, timeout: Duration) {
        if self.sent.is_empty() {
            self.deadline = Instant::now() + timeout;
        }
        self.out.extend_from_slice(&request.wire);
        self.sent_bytes += request.wire.len();
        self.requests += 1;
        let end = self.written + (self.out.len() - self.out_start) as u64;
        self.sent.push_back((request, end));
    }

    /// True if the server announced that it closes the connection.
    fn is_ending(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.closes)
    }

    /// Waits until the socket is readable or writable.
    async fn ready(&self, timeout: Duration) -> Result<tokio::io::Ready, Error> {
        let has_output = self.out_start < self.out.len() && !self.is_write_closed;
        let interest = if has_output {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        let Some((request, _)) = self.sent.front() else {
            return self
                .socket
                .ready(interest)
                .await
                .map_err(|error| Error::Broken {
                    url: String::new(),
                    reason: error.to_string(),
                });
        };
        match timeout_at(self.deadline, self.socket.ready(interest)).await {
            Ok(Ok(ready)) => Ok(ready),
            Ok(Err(error)) => Err(Error::Broken {
                url: shown(&request.url),
                reason: error.kind().to_string(),
            }),
            Err(_) => Err(Error::TimedOut {
                url: shown(&request.url),
                after: timeout,
            }),
        }
    }

    fn write(&mut self) {
        while self.out_start < self.out.len() {
            match self.socket.try_write(&self.out[self.out_start..]) {
                Ok(length) => {
                    self.out_start += length;
                    self.written += length as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // A response that the server sent before is still read.
                    self.is_write_closed = true;
                    return;
                }
            }
        }
        self.out.clear();
        self.out_start = 0;
    }

    /// Reads the available data. Returns the reason if the connection ended.
    fn read(
        &mut self,
        buffer: &mut [u8],
        timeout: Duration,
        outcomes: &mut Vec<PublishOutcome>,
    ) -> Result<Option<String>, Error> {
        loop {
            let length = match self.socket.try_read(buffer) {
                Ok(0) => {
                    return Ok(Some(
                        self.handle_end("closed without a response".to_owned(), outcomes),
                    ));
                }
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Ok(Some(self.handle_end(error.kind().to_string(), outcomes))),
            };
            let mut bytes = &buffer[..length];
            let before = outcomes.len();
            if self.decode(&mut bytes, outcomes)? {
                return Ok(Some("closed by the server".to_owned()));
            }
            // Parts of a response do not extend the deadline: they may arrive for ever.
            if outcomes.len() > before {
                self.deadline = Instant::now() + timeout;
            }
        }
    }

    /// Decodes `bytes`. Returns true if the server announced the end of the connection with a
    /// complete response.
    fn decode(
        &mut self,
        bytes: &mut &[u8],
        outcomes: &mut Vec<PublishOutcome>,
    ) -> Result<bool, Error> {
        loop {
            match self.decoder.next(bytes) {
                Ok(ResponsePart::More) => return Ok(false),
                Ok(ResponsePart::Head(head)) if head.status < 200 => {}
                Ok(ResponsePart::Head(head)) => self.head = Some(head),
                Ok(ResponsePart::Data(data)) => {
                    let room = MAX_KEPT_BYTES.saturating_sub(self.body.len());
                    self.body.extend_from_slice(&data[..data.len().min(room)]);
                }
                Ok(ResponsePart::End) => {
                    let closes = self.is_ending();
                    self.complete_request(outcomes)?;
                    if closes {
                        // The announcement is kept, so that no more requests are sent on this
                        // connection.
                        self.head = Some(Head {
                            closes: true,
                            ..Head::default()
                        });
                        return Ok(true);
                    }
                }
                Err(reason) => return Err(self.protocol_error(reason)),
            }
        }
    }

    /// Handles the end of the data: a response is complete if its head arrived.
    fn handle_end(&mut self, reason: String, outcomes: &mut Vec<PublishOutcome>) -> String {
        if self.head.is_some() {
            let closes = self.is_ending();
            // A response without a request leaves nothing to record; the caller checks what is
            // left.
            let _ = self.complete_request(outcomes);
            self.head = closes.then(|| Head {
                closes: true,
                ..Head::default()
            });
        }
        reason
    }

    fn complete_request(&mut self, outcomes: &mut Vec<PublishOutcome>) -> Result<(), Error> {
        let (Some(head), Some((request, _))) = (self.head.take(), self.sent.pop_front()) else {
            return Err(self.protocol_error("it sent a response without a request".to_owned()));
        };
        self.answered += 1;
        self.sent_bytes -= request.wire.len();
        let body = std::mem::take(&mut self.body);
        let result = match head.status {
            200..=299 => page::reject_page(&request.url, head.is_html, &body).map(|()| body),
            status => {
                Err(
                    Error::of_status(&request.url, status, head.explain, head.location.as_deref())
                        .with_path_option("--pub-path"),
                )
            }
        };
        outcomes.push(PublishOutcome {
            number: request.number,
            result,
        });
        Ok(())
    }

    fn protocol_error(&self, reason: String) -> Error {
        Error::Protocol {
            url: self
                .sent
                .front()
                .map(|(request, _)| shown(&request.url))
                .unwrap_or_default(),
            reason,
        }
    }
}
