//! A connection: one request after the other, until it follows or ends.
//!
//! Memory matters here, because most connections of a broker wait: buffers exist only while there is something in them,
//! and the machinery for requests is dropped while a connection follows.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;

use super::body::{ChunkError, ChunkedReader};
use super::head::{self, BodyLength, Parsed};
use super::pages;
use super::route::{Next, Routed, Router};
use crate::server::config::{ConnectionLimits, Listener};
use crate::server::fanout::{ConnectionKey, Inlet, Interruption, Outlet, Shard};
use crate::server::request::Endpoints;
use crate::server::response::{self, Response, Status};
use crate::server::subscriber::{Formats, websocket::Publishing};

/// Most bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Responses to pipelined requests are collected up to this many bytes before they are written.
const MAX_UNWRITTEN_BYTES: usize = 64 * 1024;

/// After an error the rest of what the client sends is read for so long and so far, so that the answer reaches it.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 * 1024 * 1024;

thread_local! {
    /// Where every read of the thread goes first.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// What the connections of a shard behind one listener have in common.
pub(in crate::server) struct Site {
    /// The listener.
    pub(in crate::server) listener: Listener,
    /// Limits.
    pub(in crate::server) limits: ConnectionLimits,
    /// The formats of the shard's followers.
    pub(in crate::server) formats: Rc<Formats>,
}

/// The two ends of a connection.
pub(in crate::server) type Peer = Endpoints;

/// A connection of a shard.
pub(in crate::server) struct Connection {
    pub(super) shard: Shard,
    pub(super) key: ConnectionKey,
    pub(super) inlet: Inlet,
    pub(super) outlet: Rc<Outlet>,
    pub(super) site: Rc<Site>,
    pub(super) peer: Box<Peer>,
    /// Read, but not yet understood.
    pub(super) buffer: BytesMut,
}

/// The connection is over.
#[derive(Debug)]
pub(super) struct Over;

/// What serving requests led to.
enum Served {
    Follow(Option<Publishing>),
    Over,
}

impl Connection {
    /// Enters a connection into its shard.
    pub(in crate::server) fn new(shard: Shard, (inlet, outlet): (Inlet, Outlet), site: Rc<Site>, peer: Peer) -> Self {
        let key = shard.open();
        Self { shard, key, inlet, outlet: Rc::new(outlet), site, peer: Box::new(peer), buffer: BytesMut::new() }
    }

    /// Serves the connection until it ends.
    pub(in crate::server) async fn run(mut self) {
        loop {
            // Boxed, so that a connection that follows does not carry the state of one that serves requests.
            let served = Box::pin(Requests::new(&mut self).serve()).await;
            match served {
                Served::Over => break,
                Served::Follow(publishing) => {
                    if !self.follow(publishing).await {
                        break;
                    }
                }
            }
        }
    }

    /// Reads what is there into the buffer; an error at the end of the connection.
    pub(super) fn poll_fill(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<usize, Over>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            if ready!(self.inlet.poll_read(cx, &mut read)).is_err() || read.filled().is_empty() {
                return Poll::Ready(Err(Over));
            }
            self.buffer.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shard.close(self.key);
    }
}

/// A connection that serves requests.
struct Requests<'a> {
    connection: &'a mut Connection,
    /// Responses that are not written yet.
    out: Vec<u8>,
    /// When the first byte of an incomplete head came.
    head_since: Option<Instant>,
}

impl<'a> Requests<'a> {
    fn new(connection: &'a mut Connection) -> Self {
        Self { connection, out: Vec::new(), head_since: None }
    }

    async fn serve(mut self) -> Served {
        loop {
            let step = self.step().await;
            match step {
                Ok(None) => {}
                Ok(Some(served)) => return served,
                Err(Over) => return Served::Over,
            }
        }
    }

    /// One request, or one read.
    async fn step(&mut self) -> Result<Option<Served>, Over> {
        // A follower writes to the socket itself, so everything before it must be written.
        if !self.out.is_empty() && (self.out.len() > MAX_UNWRITTEN_BYTES || !self.publish_comes_next()) {
            self.flush().await?;
        }
        let connection = &*self.connection;
        let Connection { site, shard, key, outlet, peer, buffer, .. } = connection;
        if buffer.is_empty() {
            self.fill_idle().await?;
            return Ok(None);
        }
        let router = Router { site, shard, key: *key, outlet };
        match head::parse(buffer, site.limits.max_header_bytes, peer, |request, length| router.route(request, length)) {
            Parsed::Incomplete => {
                self.fill_head().await?;
                Ok(None)
            }
            Parsed::Bad(response) => {
                let connection = response::Connection { minor_version: 1, keep_alive: false };
                response.write(connection, &mut self.out);
                self.flush().await?;
                self.linger().await;
                Err(Over)
            }
            Parsed::Complete(taken, length, routed) => {
                self.head_since = None;
                self.connection.buffer.advance(taken);
                self.perform(routed, length).await
            }
        }
    }

    async fn perform(&mut self, routed: Routed, length: BodyLength) -> Result<Option<Served>, Over> {
        let Routed { next, connection, expects_continue, max_body } = routed;
        let response = match next {
            Next::Follow(publishing) => return Ok(Some(Served::Follow(publishing))),
            Next::Last(bytes) => {
                self.out.extend_from_slice(&bytes);
                self.flush().await?;
                self.linger().await;
                return Err(Over);
            }
            Next::Read(plan, max_body) => match self.read_body(length, max_body, expects_continue).await? {
                Ok(body) => plan.finish(self.connection.shard.broker(), body),
                Err(response) => response.with_headers(plan.headers()),
            },
            Next::Respond(response) => self.without_body(response, length, (max_body, expects_continue)).await?,
            Next::Page(target) => {
                let response = pages::answer(&target).await;
                self.without_body(response, length, (max_body, expects_continue)).await?
            }
        };
        if response.write(connection, &mut self.out) {
            return Ok(None);
        }
        self.flush().await?;
        self.linger().await;
        Err(Over)
    }

    /// Gets rid of a body that nobody wants, so that the next request can be read; or closes, where that takes too much.
    async fn without_body(&mut self, response: Response, length: BodyLength, (max_body, expects): (u64, bool)) -> Result<Response, Over> {
        if length == BodyLength::None || response.close {
            return Ok(response);
        }
        if expects && self.connection.buffer.is_empty() {
            // It is not known whether the client sends the body after this answer.
            return Ok(response.closing());
        }
        let most = if max_body == 0 { LINGER_BYTES as u64 } else { max_body };
        Ok(match self.read_body(length, most, false).await? {
            Ok(_) => response,
            Err(_) => response.closing(),
        })
    }

    /// Reads a body of up to `most` bytes; else gives the error response.
    async fn read_body(&mut self, length: BodyLength, most: u64, expects_continue: bool) -> Result<Result<Bytes, Response>, Over> {
        let buffer = &mut self.connection.buffer;
        let wanted = match length {
            BodyLength::None => return Ok(Ok(Bytes::new())),
            BodyLength::Bytes(length) if length <= buffer.len() as u64 => {
                let length = length as usize;
                let body = Bytes::copy_from_slice(&buffer[..length]);
                buffer.advance(length);
                return Ok(Ok(body));
            }
            BodyLength::Bytes(length) if length > most => return Ok(Err(too_large())),
            BodyLength::Bytes(length) => Some(length as usize),
            BodyLength::Chunked => None,
        };
        if expects_continue && buffer.is_empty() {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.flush().await?;
        match wanted {
            Some(wanted) => {
                while self.connection.buffer.len() < wanted {
                    self.fill_body().await?;
                }
                // A copy of its own size: the buffer's memory is larger, and the limit on memory would not know.
                Ok(Ok(Bytes::copy_from_slice(&self.connection.buffer.split_to(wanted))))
            }
            None => self.read_chunked(most).await,
        }
    }

    async fn read_chunked(&mut self, most: u64) -> Result<Result<Bytes, Response>, Over> {
        let mut reader = ChunkedReader::default();
        let mut body = Vec::new();
        loop {
            match reader.read(&self.connection.buffer, &mut body, most) {
                Ok(taken) => self.connection.buffer.advance(taken),
                Err(ChunkError::Malformed) => return Ok(Err(Response::error_page(Status::BAD_REQUEST).closing())),
                Err(ChunkError::TooLarge) => return Ok(Err(too_large())),
            }
            if reader.is_done() {
                return Ok(Ok(Bytes::from(body)));
            }
            self.fill_body().await?;
        }
    }

    /// The requests in the buffer begin with one that publishes: its response may wait for further ones.
    fn publish_comes_next(&self) -> bool {
        self.connection.buffer.starts_with(b"POST ") || self.connection.buffer.starts_with(b"PUT ")
    }

    /// Waits for the next request.
    async fn fill_idle(&mut self) -> Result<(), Over> {
        // The memory of large requests is not kept.
        self.connection.buffer = BytesMut::new();
        self.out = Vec::new();
        let timeout = self.connection.site.limits.keepalive_timeout;
        self.fill(timeout, true).await
    }

    /// Waits for more of a head.
    async fn fill_head(&mut self) -> Result<(), Over> {
        self.flush().await?;
        let since = *self.head_since.get_or_insert_with(Instant::now);
        let left = self.connection.site.limits.header_timeout.saturating_sub(since.elapsed());
        self.fill(left, false).await
    }

    /// Waits for more of a body.
    async fn fill_body(&mut self) -> Result<(), Over> {
        self.fill(self.connection.site.limits.body_timeout, false).await
    }

    async fn fill(&mut self, timeout: Duration, idle: bool) -> Result<(), Over> {
        let connection = &mut *self.connection;
        let mut has_deadline = false;
        let filled = poll_fn(|cx| {
            if let Poll::Ready(filled) = connection.poll_fill(cx) {
                return Poll::Ready(filled.map(drop));
            }
            if !has_deadline {
                has_deadline = true;
                connection.shard.set_deadline(connection.key, Some(timeout));
            }
            connection.shard.interruption(connection.key, idle, cx).map_or(Poll::Pending, |interruption| {
                if interruption == Interruption::Expired && !idle {
                    tracing::debug!("a request took too long");
                }
                Poll::Ready(Err(Over))
            })
        });
        let filled = filled.await;
        if has_deadline {
            self.connection.shard.set_deadline(self.connection.key, None);
        }
        filled
    }

    /// Writes all responses.
    async fn flush(&mut self) -> Result<(), Over> {
        let mut written = 0;
        while written < self.out.len() {
            match self.connection.outlet.try_write(&self.out[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(_broken) => return Err(Over),
            }
        }
        self.out.clear();
        Ok(())
    }

    async fn writable(&mut self) -> Result<(), Over> {
        let Connection { shard, key, outlet, site, .. } = &*self.connection;
        shard.set_deadline(*key, Some(site.limits.send_timeout));
        let written = poll_fn(|cx| {
            if shard.interruption(*key, false, cx).is_some() {
                return Poll::Ready(Err(Over));
            }
            outlet.poll_write_ready(cx).map_err(|_| Over)
        });
        let written = written.await;
        shard.set_deadline(*key, None);
        written
    }

    /// Tells the client that this was the last response and reads on for a while: closing a socket with unread bytes
    /// would throw the response away.
    async fn linger(&mut self) {
        if self.connection.outlet.shutdown_write().is_err() {
            return;
        }
        let mut left = LINGER_BYTES;
        let until = Instant::now() + LINGER_TIME;
        loop {
            self.connection.buffer.clear();
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() || self.fill(rest, true).await.is_err() {
                return;
            }
            match left.checked_sub(self.connection.buffer.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }
}

fn too_large() -> Response {
    Response::error_page(Status(413)).closing()
}
