//! Many messages over one plain HTTP/1.1 connection, sent ahead of their answers (RFC 9112, section
//! 9.3.2).
//!
//! Answers come in the order of the requests, so the n-th answer is that of the n-th request.
//! Nothing is sent twice unless the server cannot have taken it: a server that announces the end of
//! the connection in an answer does not look at what came behind that request (RFC 9112, section
//! 9.6; nginx does so every 1000 requests). When a connection breaks without such a word, what was
//! sent and not answered stays unknown, or is sent again if [`Limits::resends`] says so.

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
use super::raw_http::response::{Decoder, Head, Piece};
use super::raw_http::socket::Socket;
use super::raw_http::{BUFFER_BYTES, Target};
use super::{Error, page};

/// Time that a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of requests that are not answered yet; one larger request is sent alone.
const MAX_UNANSWERED_BYTES: usize = 1 << 20;
/// Most bytes of an answer that are kept.
const MAX_KEPT_BYTES: usize = 64 << 10;
/// Breaks in a row, without an answer between them, after which messages are not sent again.
const MAX_BREAKS: u32 = 5;

/// What bounds a pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time without any answer after which to give up.
    pub timeout: Duration,
    /// Most requests without an answer.
    pub in_flight: usize,
    /// Sends again what was not answered when the connection broke. Then messages may be published
    /// twice.
    pub resends: bool,
}

/// The requests under way.
#[derive(Debug)]
pub struct Pipeline {
    target: Target,
    limits: Limits,
    connection: Option<Connection>,
    connecting: Option<Connecting>,
    /// Not sent yet.
    waiting: VecDeque<Request>,
    /// Requests per connection that the server answered before it closed the last one.
    most_per_connection: Option<u64>,
    breaks: u32,
    /// What ended it, to be told behind the answers that came before.
    failure: Option<Error>,
    buffer: Vec<u8>,
}

/// A connection that is being made: kept, so that being dropped and asked again does not begin
/// anew.
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
struct Connection {
    socket: Socket,
    decoder: Decoder,
    /// Given to the socket or about to be, in order; with the place in `written` at which it ends.
    sent: VecDeque<(Request, u64)>,
    sent_bytes: usize,
    /// Bytes to write, from `out_start` on.
    out: Vec<u8>,
    out_start: usize,
    written: u64,
    /// Nothing more can be written; answers may still come.
    is_deaf: bool,
    requests: u64,
    answered: u64,
    head: Option<Head>,
    body: Vec<u8>,
    deadline: Instant,
}

impl Pipeline {
    /// A pipeline to `target`, which connects with the first request.
    #[must_use]
    pub fn new(target: Target, limits: Limits) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self {
            target,
            limits,
            connection: None,
            connecting: None,
            waiting: VecDeque::new(),
            most_per_connection: None,
            breaks: 0,
            failure: None,
            buffer,
        }
    }

    /// True if another message may be given to it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let (sent, bytes) = self.connection.as_ref().map_or((0, 0), |connection| {
            (connection.sent.len(), connection.sent_bytes)
        });
        let waiting: usize = self.waiting.iter().map(|request| request.wire.len()).sum();
        let count = sent + self.waiting.len();
        count == 0 || (count < self.limits.in_flight && bytes + waiting < MAX_UNANSWERED_BYTES)
    }

    /// True if nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self
                .connection
                .as_ref()
                .is_none_or(|connection| connection.sent.is_empty())
    }

    /// Takes a message.
    ///
    /// # Errors
    /// [`Error::Request`] if it cannot be sent.
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

    /// The messages that were sent and not answered.
    #[must_use]
    pub fn unanswered(&self) -> Vec<u64> {
        let Some(connection) = &self.connection else {
            return Vec::new();
        };
        // A server acts upon complete requests only.
        connection
            .sent
            .iter()
            .filter(|(_, end)| *end <= connection.written)
            .map(|(request, _)| request.number)
            .collect()
    }

    /// Takes back what was not sent yet, and returns the first of it.
    pub fn take_back(&mut self) -> Option<u64> {
        self.waiting.drain(..).map(|request| request.number).min()
    }

    /// Sends and reads until there are answers; may be dropped and called again.
    ///
    /// # Errors
    /// What ended it.
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
            let mut answers = Vec::new();
            let over = connection.read(&mut self.buffer, self.limits.timeout, &mut answers);
            if !answers.is_empty() {
                self.breaks = 0;
            }
            let outcome = over.and_then(|over| over.map_or(Ok(()), |reason| self.closed(&reason)));
            self.failure = outcome.err();
            if !answers.is_empty() {
                return Ok(answers);
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
        self.connection = Some(Connection {
            socket,
            decoder: Decoder::default(),
            sent: VecDeque::new(),
            sent_bytes: 0,
            out: Vec::new(),
            out_start: 0,
            written: 0,
            is_deaf: false,
            requests: 0,
            answered: 0,
            head: None,
            body: Vec::new(),
            deadline: Instant::now(),
        });
        Ok(())
    }

    /// Gives waiting requests to the connection, as many as may be.
    fn fill(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        while !connection.is_deaf && !connection.is_ending() {
            // A server that closes after so many requests would not look at more; if it did not
            // close, it takes more.
            if self
                .most_per_connection
                .is_some_and(|most| connection.requests >= most)
            {
                if !connection.sent.is_empty() {
                    return;
                }
                self.most_per_connection = None;
            }
            let Some(request) = self.waiting.pop_front() else {
                return;
            };
            connection.take(request, self.limits.timeout);
        }
    }

    /// The connection ended, for `reason`: decides what becomes of what was not answered.
    fn closed(&mut self, reason: &str) -> Result<(), Error> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let is_announced = connection.is_ending();
        // Nothing is open when an idle connection is closed.
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
            self.most_per_connection = Some(connection.answered.max(1));
        }
        for (request, _) in connection.sent.drain(..).rev() {
            self.waiting.push_front(request);
        }
        self.connection = None;
        Ok(())
    }
}

impl Connection {
    fn take(&mut self, request: Request, timeout: Duration) {
        if self.sent.is_empty() {
            self.deadline = Instant::now() + timeout;
        }
        self.out.extend_from_slice(&request.wire);
        self.sent_bytes += request.wire.len();
        self.requests += 1;
        let end = self.written + (self.out.len() - self.out_start) as u64;
        self.sent.push_back((request, end));
    }

    /// True if the server announced that it closes.
    fn is_ending(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.closes)
    }

    /// Waits until something can be done.
    async fn ready(&self, timeout: Duration) -> Result<tokio::io::Ready, Error> {
        let has_output = self.out_start < self.out.len() && !self.is_deaf;
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
                    // What the server had to say before is still to be read.
                    self.is_deaf = true;
                    return;
                }
            }
        }
        self.out.clear();
        self.out_start = 0;
    }

    /// Reads what is there. Returns the reason if the connection is over.
    fn read(
        &mut self,
        buffer: &mut [u8],
        timeout: Duration,
        answers: &mut Vec<PublishOutcome>,
    ) -> Result<Option<String>, Error> {
        loop {
            let length = match self.socket.try_read(buffer) {
                Ok(0) => {
                    return Ok(Some(
                        self.end("closed without an answer".to_owned(), answers),
                    ));
                }
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Ok(Some(self.end(error.kind().to_string(), answers))),
            };
            let mut bytes = &buffer[..length];
            let before = answers.len();
            if self.decode(&mut bytes, answers)? {
                return Ok(Some("the server ended it".to_owned()));
            }
            // Parts of an answer give no more time: they may come for ever.
            if answers.len() > before {
                self.deadline = Instant::now() + timeout;
            }
        }
    }

    /// Takes `bytes` apart. True if the server announced the end of the connection with a complete
    /// answer.
    fn decode(
        &mut self,
        bytes: &mut &[u8],
        answers: &mut Vec<PublishOutcome>,
    ) -> Result<bool, Error> {
        loop {
            match self.decoder.next(bytes) {
                Ok(Piece::More) => return Ok(false),
                Ok(Piece::Head(head)) if head.status < 200 => {}
                Ok(Piece::Head(head)) => self.head = Some(head),
                Ok(Piece::Data(data)) => {
                    let room = MAX_KEPT_BYTES.saturating_sub(self.body.len());
                    self.body.extend_from_slice(&data[..data.len().min(room)]);
                }
                Ok(Piece::End) => {
                    let closes = self.is_ending();
                    self.answer(answers)?;
                    if closes {
                        // The word stays, so that nothing more is sent here.
                        self.head = Some(Head {
                            closes: true,
                            ..Head::default()
                        });
                        return Ok(true);
                    }
                }
                Err(reason) => return Err(self.strange(reason)),
            }
        }
    }

    /// The end of the bytes: an answer whose head came is one.
    fn end(&mut self, reason: String, answers: &mut Vec<PublishOutcome>) -> String {
        if self.head.is_some() {
            let closes = self.is_ending();
            // Without a request there is no answer, which the caller finds out by what is left.
            let _ = self.answer(answers);
            self.head = closes.then(|| Head {
                closes: true,
                ..Head::default()
            });
        }
        reason
    }

    fn answer(&mut self, answers: &mut Vec<PublishOutcome>) -> Result<(), Error> {
        let (Some(head), Some((request, _))) = (self.head.take(), self.sent.pop_front()) else {
            return Err(self.strange("it answered what nobody asked".to_owned()));
        };
        self.answered += 1;
        self.sent_bytes -= request.wire.len();
        let body = std::mem::take(&mut self.body);
        let result = match head.status {
            200..=299 => page::refuse(&request.url, head.is_html, &body).map(|()| body),
            status => {
                Err(
                    Error::of_status(&request.url, status, head.explain, head.location.as_deref())
                        .at("--pub-path"),
                )
            }
        };
        answers.push(PublishOutcome {
            number: request.number,
            result,
        });
        Ok(())
    }

    fn strange(&self, reason: String) -> Error {
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
