//! Connections to back-ends: TCP, unix sockets and TLS, kept open for further requests.
//!
//! `hyper` speaks HTTP; the head of each response is also recorded as it came, because `hyper`
//! forgets how the names of headers are spelt.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::peers::PeerAddress;

/// Connections that are kept, to all servers.
const MAX_IDLE: usize = 256;
/// How long they are kept.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Headers of a response.
const MAX_HEADERS: usize = 512;
/// Bytes of a head of a response that are recorded.
const MAX_RECORDED: usize = 64 * 1024;

/// A server, and how it is spoken to.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: PeerAddress,
    pub(super) tls: Option<TlsPeer>,
}

/// TLS with a server.
#[derive(Clone, Debug)]
pub(super) struct TlsPeer {
    pub(super) client: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// What tells connections apart: the client of TLS is one per location.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    address: PeerAddress,
    tls: Option<(usize, ServerName<'static>)>,
}

/// An open connection.
pub(super) struct PeerConnection {
    key: Key,
    sender: SendRequest<Body>,
    record: Arc<Mutex<Record>>,
    /// It has served a request before.
    pub(super) is_reused: bool,
    idle_since: Instant,
    /// Keeps the client of TLS, whose address is part of the key.
    _tls: Option<Arc<ClientConfig>>,
}

/// Connections without a request.
#[derive(Default)]
pub(super) struct Pool {
    idle: Arc<Mutex<HashMap<Key, Vec<PeerConnection>>>>,
}

/// A header as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawHeader {
    pub(super) name: String,
    pub(super) value: Bytes,
}

/// Why there is no response.
pub(super) struct SendError {
    pub(super) error: hyper::Error,
    /// The request, if nothing of it was sent.
    pub(super) unsent: Option<Request<Body>>,
}

impl Peer {
    fn key(&self) -> Key {
        let tls = self
            .tls
            .as_ref()
            .map(|tls| (Arc::as_ptr(&tls.client).addr(), tls.name.clone()));
        Key {
            address: self.address.clone(),
            tls,
        }
    }
}

impl Pool {
    /// A connection that is open already.
    pub(super) fn take(&self, peer: &Peer) -> Option<PeerConnection> {
        let mut idle = self.idle.lock();
        let connections = idle.get_mut(&peer.key())?;
        while let Some(connection) = connections.pop() {
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose response is complete, unless there are `most` to that server.
    pub(super) fn keep(&self, mut connection: PeerConnection, most: usize) {
        if most == 0 || connection.sender.is_closed() {
            return;
        }
        (connection.is_reused, connection.idle_since) = (true, Instant::now());
        let mut idle = self.idle.lock();
        let count: usize = idle.values().map(Vec::len).sum();
        let of_server = idle.entry(connection.key.clone()).or_default();
        if of_server.len() >= most || count >= MAX_IDLE {
            return;
        }
        of_server.push(connection);
        if count == 0 {
            tokio::spawn(close_idle(Arc::downgrade(&self.idle)));
        }
    }
}

/// Closes connections that are idle for too long, until there is none.
async fn close_idle(idle: Weak<Mutex<HashMap<Key, Vec<PeerConnection>>>>) {
    loop {
        tokio::time::sleep(IDLE_TIME / 2).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut idle = idle.lock();
        idle.retain(|_, connections| {
            connections.retain(|connection| {
                connection.idle_since.elapsed() < IDLE_TIME && !connection.sender.is_closed()
            });
            !connections.is_empty()
        });
        if idle.is_empty() {
            return;
        }
    }
}

/// What a connection is made of.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl PeerConnection {
    /// Connects to a server.
    pub(super) async fn open(peer: &Peer) -> Result<Self, String> {
        let stream: Box<dyn Stream> = match &peer.address {
            PeerAddress::Tcp(address) => {
                let stream = TcpStream::connect(address)
                    .await
                    .map_err(|error| error.to_string())?;
                stream
                    .set_nodelay(true)
                    .map_err(|error| error.to_string())?;
                Box::new(stream)
            }
            PeerAddress::Unix(path) => Box::new(
                UnixStream::connect(path)
                    .await
                    .map_err(|error| error.to_string())?,
            ),
        };
        let stream: Box<dyn Stream> = match &peer.tls {
            Some(tls) => {
                let connector = TlsConnector::from(Arc::clone(&tls.client));
                Box::new(
                    connector
                        .connect(tls.name.clone(), stream)
                        .await
                        .map_err(|error| format!("TLS: {error}"))?,
                )
            }
            None => stream,
        };
        let record = Arc::<Mutex<Record>>::default();
        let io = TokioIo::new(Recorded {
            stream,
            record: Arc::clone(&record),
        });
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .handshake(io)
            .await
            .map_err(|error| error.to_string())?;
        // It ends with its sender; its errors are those of the requests.
        tokio::spawn(async move { drop(connection.await) });
        let tls = peer.tls.as_ref().map(|tls| Arc::clone(&tls.client));
        Ok(Self {
            key: peer.key(),
            sender,
            record,
            is_reused: false,
            idle_since: Instant::now(),
            _tls: tls,
        })
    }

    /// Sends a request; the response's body is still to be read.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, SendError> {
        if let Err(error) = self.sender.ready().await {
            return Err(SendError {
                error,
                unsent: Some(request),
            });
        }
        *self.record.lock() = Record::default();
        let sent = self.sender.try_send_request(request).await;
        sent.map_err(|mut error| SendError {
            unsent: error.take_message(),
            error: error.into_error(),
        })
    }

    /// The headers of the response as they came; empty if its head is too large to be recorded.
    pub(super) fn raw_headers(&self) -> Vec<RawHeader> {
        self.record.lock().headers()
    }
}

/// The head of a response.
#[derive(Default)]
struct Record {
    head: Vec<u8>,
    is_complete: bool,
}

impl Record {
    /// Takes bytes of a response, up to the end of its head; interim responses (RFC 9110, section
    /// 15.2) are left out.
    fn take(&mut self, bytes: &[u8]) {
        if self.is_complete {
            return;
        }
        self.head.extend_from_slice(bytes);
        while let Some(end) = end_of_head(&self.head) {
            if self.head.get(9) != Some(&b'1') {
                self.head.truncate(end);
                self.is_complete = true;
                return;
            }
            self.head.drain(..end);
        }
        if self.head.len() > MAX_RECORDED {
            (self.head, self.is_complete) = (Vec::new(), true);
        }
    }

    fn headers(&self) -> Vec<RawHeader> {
        let mut headers = vec![httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        if !response
            .parse(&self.head)
            .is_ok_and(|status| status.is_complete())
        {
            return Vec::new();
        }
        let header = |header: &httparse::Header<'_>| RawHeader {
            name: header.name.to_owned(),
            value: Bytes::copy_from_slice(header.value),
        };
        response.headers.iter().map(header).collect()
    }
}

/// Where a head ends: after an empty line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match bytes.get(at + 1..) {
        Some([b'\n', ..]) => Some(at + 2),
        Some([b'\r', b'\n', ..]) => Some(at + 3),
        _ => None,
    })
}

/// A stream whose response heads are recorded.
struct Recorded {
    stream: Box<dyn Stream>,
    record: Arc<Mutex<Record>>,
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.record.lock().take(&buffer.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_recorded_without_interim_responses() {
        let mut record = Record::default();
        for piece in [
            "HTTP/1.1 100 Continue\r\nA: b\r\n",
            "\r\nHTTP/1.1 403 No\r\nX-Banana: too-ripe\r",
            "\nx-b: 2\r\n\r\nbo",
            "dy\r\n\r\n",
        ] {
            record.take(piece.as_bytes());
        }
        let found: Vec<_> = record
            .headers()
            .into_iter()
            .map(|header| (header.name, header.value))
            .collect();
        assert_eq!(
            found,
            [
                ("X-Banana".to_owned(), Bytes::from("too-ripe")),
                ("x-b".to_owned(), Bytes::from("2"))
            ]
        );
    }
}
