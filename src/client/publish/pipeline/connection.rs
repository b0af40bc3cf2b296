//! One connection of a pipeline: writes requests and matches responses to them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::io::Interest;
use tokio::time::{Instant, timeout_at};

use crate::client::error::Error;
use crate::client::publish::publication::PublishOutcome;
use crate::client::transport::page;
use crate::client::transport::raw_http::response::{ResponseDecoder, ResponseHead, ResponsePart};
use crate::client::transport::raw_http::socket::Socket;
use crate::client::url::shown;

/// Maximum number of bytes of a response body that are kept.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// A request on the wire, with the number of its message.
#[derive(Debug)]
pub(super) struct PipelinedRequest {
    pub(super) number: u64,
    pub(super) url: Arc<Url>,
    pub(super) wire: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct PipelinedConnection {
    socket: Socket,
    decoder: ResponseDecoder,
    /// Requests passed to the socket or about to be, in order; each with the value of `written` at
    /// its end.
    pub(super) sent: VecDeque<(PipelinedRequest, u64)>,
    pub(super) sent_bytes: usize,
    /// Bytes to write, starting at `out_start`.
    out: Vec<u8>,
    out_start: usize,
    pub(super) written: u64,
    /// Writing failed; responses may still arrive.
    pub(super) is_write_closed: bool,
    pub(super) requests: u64,
    pub(super) answered: u64,
    head: Option<ResponseHead>,
    body: Vec<u8>,
    deadline: Instant,
}

impl PipelinedConnection {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
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
        }
    }

    pub(super) fn queue(&mut self, request: PipelinedRequest, timeout: Duration) {
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
    pub(super) fn is_ending(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.closes)
    }

    /// Waits until the socket is readable or writable.
    pub(super) async fn ready(&self, timeout: Duration) -> Result<tokio::io::Ready, Error> {
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

    pub(super) fn write(&mut self) {
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
    pub(super) fn read(
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
                Ok(ResponsePart::ResponseHead(head)) if head.status < 200 => {}
                Ok(ResponsePart::ResponseHead(head)) => self.head = Some(head),
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
                        self.head = Some(ResponseHead {
                            closes: true,
                            ..ResponseHead::default()
                        });
                        return Ok(true);
                    }
                }
                Err(reason) => return Err(self.protocol_error(reason)),
            }
        }
    }

    /// Handles the end of the data: a response is complete if its head arrived.
    pub(super) fn handle_end(
        &mut self,
        reason: String,
        outcomes: &mut Vec<PublishOutcome>,
    ) -> String {
        if self.head.is_some() {
            let closes = self.is_ending();
            // A response without a request leaves nothing to record; the caller checks what is
            // left.
            let _ = self.complete_request(outcomes);
            self.head = closes.then(|| ResponseHead {
                closes: true,
                ..ResponseHead::default()
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
