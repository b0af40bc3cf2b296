//! Connections to back-ends: TCP, unix sockets and TLS, kept open for further requests.
//!
//! `hyper` implements HTTP. The head of each response is recorded as well, because `hyper` loses
//! the spelling of header names.

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

/// Most idle connections to all servers.
const MAX_IDLE: usize = 256;
/// Idle connections are closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most headers of a response.
const MAX_HEADERS: usize = 512;
/// Most bytes of a response head that are recorded.
const MAX_RECORDED_BYTES: usize = 64 * 1024;

/// A server and its transport.
#[derive(Clone)]
pub(in crate::server) struct BackendServer {
    pub(in crate::server) address: PeerAddress,
    pub(in crate::server) tls: Option<TlsPeer>,
}

/// TLS settings for a server.
#[derive(Clone, Debug)]
pub(in crate::server) struct TlsPeer {
    pub(in crate::server) client: Arc<ClientConfig>,
    pub(in crate::server) name: ServerName<'static>,
}

/// Key of idle connections. TLS settings belong to a location, and are compared by address.
#[derive(Clone, PartialEq, Eq, Hash)]
struct PoolKey {
    address: PeerAddress,
    tls: Option<(usize, ServerName<'static>)>,
}

/// An open connection.
pub(in crate::server) struct BackendConnection {
    key: PoolKey,
    sender: SendRequest<Body>,
    record: Arc<Mutex<HeadRecord>>,
    /// It has carried a request before.
    pub(in crate::server) is_reused: bool,
    idle_since: Instant,
    /// Keeps the TLS settings alive, because their address is part of the key.
    _tls: Option<Arc<ClientConfig>>,
}

/// Idle connections.
#[derive(Default)]
pub(in crate::server) struct ConnectionPool {
    idle: Arc<Mutex<HashMap<PoolKey, Vec<BackendConnection>>>>,
}

/// A header as the back-end spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct RawHeader {
    pub(in crate::server) name: String,
    pub(in crate::server) value: Bytes,
}

/// Error of a request on a connection.
pub(in crate::server) struct SendError {
    pub(in crate::server) error: hyper::Error,
    /// The request, if nothing of it was sent.
    pub(in crate::server) unsent: Option<Request<Body>>,
}

impl BackendServer {
    fn key(&self) -> PoolKey {
        let tls = self
            .tls
            .as_ref()
            .map(|tls| (Arc::as_ptr(&tls.client).addr(), tls.name.clone()));
        PoolKey {
            address: self.address.clone(),
            tls,
        }
    }
}

impl ConnectionPool {
    /// Takes an idle connection.
    pub(in crate::server) fn take(&self, peer: &BackendServer) -> Option<BackendConnection> {
        let mut idle = self.idle.lock();
        let connections = idle.get_mut(&peer.key())?;
        while let Some(connection) = connections.pop() {
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    /// Returns a connection to the pool after a complete response, unless the pool has `max` for
    /// its server.
    pub(in crate::server) fn keep(&self, mut connection: BackendConnection, max: usize) {
        if max == 0 || connection.sender.is_closed() {
            return;
        }
        (connection.is_reused, connection.idle_since) = (true, Instant::now());
        let mut idle = self.idle.lock();
        let count: usize = idle.values().map(Vec::len).sum();
        let of_server = idle.entry(connection.key.clone()).or_default();
        if of_server.len() >= max || count >= MAX_IDLE {
            return;
        }
        of_server.push(connection);
        if count == 0 {
            tokio::spawn(close_idle(Arc::downgrade(&self.idle)));
        }
    }
}

/// Closes connections that have been idle for too long; ends when the pool is empty.
async fn close_idle(idle: Weak<Mutex<HashMap<PoolKey, Vec<BackendConnection>>>>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT / 2).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut idle = idle.lock();
        idle.retain(|_, connections| {
            connections.retain(|connection| {
                connection.idle_since.elapsed() < IDLE_TIMEOUT && !connection.sender.is_closed()
            });
            !connections.is_empty()
        });
        if idle.is_empty() {
            return;
        }
    }
}

/// Transport of a connection.
trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

impl BackendConnection {
    /// Connects to a server.
    pub(in crate::server) async fn open(peer: &BackendServer) -> Result<Self, String> {
        let stream: Box<dyn ByteStream> = match &peer.address {
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
        let stream: Box<dyn ByteStream> = match &peer.tls {
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
        let record = Arc::<Mutex<HeadRecord>>::default();
        let io = TokioIo::new(RecordedStream {
            stream,
            record: Arc::clone(&record),
        });
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .handshake(io)
            .await
            .map_err(|error| error.to_string())?;
        // Ends with its sender, which gets its errors.
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

    /// Sends a request, and waits for the head of the response.
    pub(in crate::server) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, SendError> {
        if let Err(error) = self.sender.ready().await {
            return Err(SendError {
                error,
                unsent: Some(request),
            });
        }
        *self.record.lock() = HeadRecord::default();
        let sent = self.sender.try_send_request(request).await;
        sent.map_err(|mut error| SendError {
            unsent: error.take_message(),
            error: error.into_error(),
        })
    }

    /// Returns the recorded headers of the response; empty if its head was too large.
    pub(in crate::server) fn raw_headers(&self) -> Vec<RawHeader> {
        self.record.lock().headers()
    }
}

/// Recorder of a response head.
#[derive(Default)]
struct HeadRecord {
    head: Vec<u8>,
    is_complete: bool,
}

impl HeadRecord {
    /// Records bytes of a response up to the end of its head, without interim responses (RFC 9110,
    /// section 15.2).
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
        if self.head.len() > MAX_RECORDED_BYTES {
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

/// Finds the end of a head, after its empty line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match bytes.get(at + 1..) {
        Some([b'\n', ..]) => Some(at + 2),
        Some([b'\r', b'\n', ..]) => Some(at + 3),
        _ => None,
    })
}

/// A transport that records response heads.
struct RecordedStream {
    stream: Box<dyn ByteStream>,
    record: Arc<Mutex<HeadRecord>>,
}

impl AsyncRead for RecordedStream {
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

impl AsyncWrite for RecordedStream {
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
        let mut record = HeadRecord::default();
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
