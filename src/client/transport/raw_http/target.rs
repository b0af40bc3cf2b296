//! The server of raw connections: its addresses, the head of its requests, and connecting.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::HeaderMap;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::socket::Socket;
use super::source::{self, Sources};
use crate::client::error::{Error, io_reason, lower_first};
use crate::client::url::{origin, shown, unix_socket};

/// A server, resolved once. Its headers may contain credentials, which `Debug` omits.
#[derive(Clone)]
pub struct Target {
    address: Address,
    /// `Host` and the user's headers, each with a line break.
    headers: String,
    origin: String,
    /// Local addresses of the connections.
    sources: Sources,
}

/// The address of a server.
#[derive(Clone)]
enum Address {
    /// Addresses in the order in which they are tried.
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Target")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Resolves the server of `url`. `headers` are sent with every request, and so are the
    /// credentials of `url` unless `headers` has some.
    ///
    /// # Errors
    /// [`Error::Request`] if it is not plain HTTP, [`Error::Unreachable`] if the host name cannot
    /// be resolved.
    pub async fn resolve(url: &Url, headers: &HeaderMap) -> Result<Self, Error> {
        let (Some(host), Some(port), "http") =
            (url.host_str(), url.port_or_known_default(), url.scheme())
        else {
            return Err(Error::Request(format!(
                "cannot measure {}: only plain http is supported (see --url)",
                shown(url)
            )));
        };
        let (address, origin, mut lines) = match unix_socket::path(url) {
            Some(path) => (
                Address::Unix(path),
                origin(url),
                format!("Host: {}\r\n", unix_socket::HOST),
            ),
            None => {
                let origin = format!("http://{host}:{port}");
                (
                    Address::Tcp(addresses(host, port, &origin).await?),
                    origin,
                    format!("Host: {host}:{port}\r\n"),
                )
            }
        };
        for (name, value) in headers {
            let value = value.to_str().map_err(|_| {
                Error::Request(format!(
                    "cannot send the header '{name}': it is not ascii (see --header)"
                ))
            })?;
            write!(lines, "{name}: {value}\r\n").expect("writing to a string cannot fail");
        }
        if let Some(credentials) =
            credentials(url).filter(|_| !headers.contains_key("authorization"))
        {
            write!(
                lines,
                "Authorization: Basic {}\r\n",
                STANDARD.encode(credentials)
            )
            .expect("writing to a string cannot fail");
        }
        Ok(Self {
            address,
            headers: lines,
            origin,
            sources: Sources::default(),
        })
    }

    /// Connects to the server.
    ///
    /// # Errors
    /// [`Error::Unreachable`]
    pub async fn connect(&self) -> Result<Socket, Error> {
        let socket = match (&self.address, self.sources.is_empty()) {
            (Address::Unix(path), true) => UnixStream::connect(path).await.map(Socket::Unix),
            (Address::Unix(_), false) => Err(std::io::Error::other(
                "a unix socket has no source address (omit --bind)",
            )),
            (Address::Tcp(addresses), true) => TcpStream::connect(addresses.as_slice())
                .await
                .and_then(without_delay),
            (Address::Tcp(addresses), false) => connect_from(addresses, &self.sources)
                .await
                .and_then(without_delay),
        };
        socket.map_err(|error| Error::Unreachable {
            url: self.origin.clone(),
            reason: io_reason(&error),
        })
    }

    /// Sets the local addresses of the connections.
    #[must_use]
    pub fn from_sources(self, sources: Sources) -> Self {
        Self { sources, ..self }
    }

    /// True if each connection needs a local port.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        matches!(self.address, Address::Tcp(_))
    }

    /// True if the server has an address of the same family as `source`.
    #[must_use]
    pub fn is_reachable_from(&self, source: IpAddr) -> bool {
        match &self.address {
            Address::Tcp(addresses) => addresses
                .iter()
                .any(|address| address.is_ipv4() == source.is_ipv4()),
            Address::Unix(_) => false,
        }
    }

    /// True if the server is on the loopback interface, so that any address 127.x.y.z can be a
    /// source.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.address {
            Address::Tcp(addresses) => addresses
                .iter()
                .all(|address| matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback())),
            Address::Unix(_) => false,
        }
    }

    /// Formats a request. `extra` has header lines with their line breaks.
    #[must_use]
    pub fn request(&self, method: &str, url: &Url, extra: &str) -> String {
        let query = url
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        format!(
            "{method} {}{query} HTTP/1.1\r\n{}{extra}\r\n",
            url.path(),
            self.headers
        )
    }
}

async fn addresses(host: &str, port: u16, origin: &str) -> Result<Vec<SocketAddr>, Error> {
    let unreachable = |reason: String| Error::Unreachable {
        url: origin.to_owned(),
        reason,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, port))
        .await
        .map_err(|error| unreachable(lower_first(&error.to_string())))?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() {
        Err(unreachable("the name has no address".to_owned()))
    } else {
        Ok(addresses)
    }
}

fn without_delay(socket: TcpStream) -> std::io::Result<Socket> {
    socket.set_nodelay(true)?;
    Ok(Socket::Tcp(socket))
}

async fn connect_from(addresses: &[SocketAddr], sources: &Sources) -> std::io::Result<TcpStream> {
    let mut result = Err(std::io::Error::other(
        "the server has no address of the same family as --bind",
    ));
    for address in addresses {
        let Some(source) = sources.next(address.is_ipv4()) else {
            continue;
        };
        let socket = if source.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        source::bind(&socket, source)?;
        result = socket.connect(*address).await;
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Returns user and password of `url` in the form of Basic authentication (RFC 7617, section 2).
fn credentials(url: &Url) -> Option<Vec<u8>> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let user = percent_decode_str(url.username());
    let password = percent_decode_str(url.password().unwrap_or(""));
    Some(user.chain([b':']).chain(password).collect())
}
