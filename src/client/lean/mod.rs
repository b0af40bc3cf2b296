//! The bare sockets of `bench`: ten thousand subscribers on one thread, with a few hundred bytes each.
//!
//! One read buffer serves all of them, and nothing is kept but what a response or frame left incomplete. Plain HTTP/1.1
//! only, no redirects, no proxies: what is measured is the server. Messages are not understood here.

pub mod follow;
pub mod frames;
pub mod publisher;
pub mod response;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Poll, ready};

use reqwest::Url;
use reqwest::header::HeaderMap;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::Error;

/// Size of the read buffer that all sockets of a thread share.
pub const BUFFER_BYTES: usize = 64 << 10;

/// A buffer to read into; its content does not outlive one read.
pub type Buffer = RefCell<Vec<u8>>;

/// A server, resolved once.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    /// `Host` and the user's headers, each with its line break.
    headers: String,
    origin: String,
}

impl Target {
    /// Resolves the server of `url`; `headers` go with every request.
    ///
    /// # Errors
    /// [`Error::Request`] if it is not plain HTTP, [`Error::Unreachable`] if the name cannot be resolved.
    pub async fn resolve(url: &Url, headers: &HeaderMap) -> Result<Self, Error> {
        let (Some(host), Some(port), "http") = (url.host_str(), url.port_or_known_default(), url.scheme()) else {
            return Err(Error::Request(format!("cannot measure {url}: only plain http is measured (see --url)")));
        };
        let origin = format!("http://{host}:{port}");
        let unreachable = |reason: String| Error::Unreachable { url: origin.clone(), reason };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let mut addresses =
            tokio::net::lookup_host((bare, port)).await.map_err(|error| unreachable(super::error::lower_first(&error.to_string())))?;
        let address = addresses.next().ok_or_else(|| unreachable("the name has no address".to_owned()))?;
        let mut lines = format!("Host: {host}:{port}\r\n");
        for (name, value) in headers {
            let value =
                value.to_str().map_err(|_| Error::Request(format!("cannot send the header '{name}': it is not ascii (see --header)")))?;
            write!(lines, "{name}: {value}\r\n").expect("a string takes everything");
        }
        Ok(Self { address, headers: lines, origin })
    }

    /// Connects.
    ///
    /// # Errors
    /// [`Error::Unreachable`]
    pub async fn connect(&self) -> Result<TcpStream, Error> {
        let failed = |error: std::io::Error| {
            let reason = if error.raw_os_error().is_some() { error.kind().to_string() } else { error.to_string() };
            Error::Unreachable { url: self.origin.clone(), reason }
        };
        let socket = TcpStream::connect(self.address).await.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        Ok(socket)
    }

    /// A request as it goes over the wire. `extra` are header lines with their line breaks.
    #[must_use]
    pub fn request(&self, method: &str, url: &Url, extra: &str) -> String {
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{method} {}{query} HTTP/1.1\r\n{}{extra}\r\n", url.path(), self.headers)
    }
}

/// Reads once into the shared buffer and gives the bytes to `take`; returns how many they were, 0 at the end.
async fn read(socket: &mut TcpStream, buffer: &Buffer, mut take: impl FnMut(&[u8])) -> std::io::Result<usize> {
    std::future::poll_fn(|context| {
        let mut buffer = buffer.borrow_mut();
        let mut filled = ReadBuf::new(&mut buffer);
        // `poll_read` and not `try_read`: it learns from a short read that the socket is empty and saves a system call.
        ready!(Pin::new(&mut *socket).poll_read(context, &mut filled))?;
        take(filled.filled());
        Poll::Ready(Ok(filled.filled().len()))
    })
    .await
}

/// Writes a whole request.
async fn write(socket: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    socket.write_all(bytes).await
}

fn broken(url: &Url, error: &std::io::Error) -> Error {
    Error::Broken { url: url.to_string(), reason: error.kind().to_string() }
}
