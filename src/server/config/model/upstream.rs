//! Groups of back-end servers (nginx: `upstream`), and groups of a single address in `proxy_pass`.
//!
//! The state of the servers, such as recent failures, is in `http::upstream::balancer`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::server::config::Expression;

/// Default number of failures within [`UpstreamServer::fail_timeout`] after which a server is
/// skipped.
pub const MAX_FAILS: u32 = 1;
/// Default time in which failures are counted, and for which a server is then skipped.
pub const FAIL_TIMEOUT: Duration = Duration::from_secs(10);

/// The groups of a configuration by name, in lower case.
pub type Upstreams = HashMap<String, Arc<Upstream>>;

/// A group of servers that are tried in turn.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The name of the group, or host and port of a single address.
    pub name: String,
    /// The servers, in the order of the file.
    pub servers: Vec<UpstreamServer>,
    /// Choice of the server that is tried first.
    pub balancing: Balancing,
    /// Failures affect later requests. Off for addresses from variables, whose number is unlimited.
    pub keeps_state: bool,
    /// `keepalive`: maximum number of idle connections per server and shard. 0 = one connection per
    /// request, as in nginx: excess data of a response cannot affect another request.
    pub keepalive: usize,
    /// The first directive that is not supported: requests to the group fail with 503.
    pub unsupported: Option<String>,
}

/// A server of a group.
#[derive(Clone, Debug)]
pub struct UpstreamServer {
    /// The address.
    pub address: ServerAddress,
    /// `weight`
    pub weight: u32,
    /// `max_fails`; 0 = the server is never skipped.
    pub max_fails: u32,
    /// `fail_timeout`
    pub fail_timeout: Duration,
    /// `max_conns`; `None` = unlimited.
    pub max_connections: Option<u32>,
    /// `backup`: the server is used only if all others are unavailable.
    pub is_backup: bool,
    /// `down`: the server is never used.
    pub is_down: bool,
}

/// Address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// An IP address with its port.
    Ip(SocketAddr),
    /// A host name with its port; each IP address of the name is a server.
    Name(String, u16),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// Load-balancing method: the choice of the server that is tried first.
#[derive(Clone, Debug, Default)]
pub enum Balancing {
    /// Weighted round-robin.
    #[default]
    RoundRobin,
    /// The server with the fewest connections in relation to its weight (`least_conn`).
    LeastConnections,
    /// A hash of the client's network (`ip_hash`).
    ClientAddress,
    /// A hash of a text (`hash`).
    Key(Expression),
}

impl UpstreamServer {
    /// Creates a server with nginx's defaults.
    #[must_use]
    pub fn new(address: ServerAddress) -> Self {
        Self {
            address,
            weight: 1,
            max_fails: MAX_FAILS,
            fail_timeout: FAIL_TIMEOUT,
            max_connections: None,
            is_backup: false,
            is_down: false,
        }
    }
}

impl Upstream {
    /// Creates the group of a single address; see [`Upstream::keeps_state`].
    #[must_use]
    pub fn from_address(address: ServerAddress, keeps_state: bool) -> Self {
        let name = match &address {
            ServerAddress::Ip(address) => address.to_string(),
            ServerAddress::Name(name, port) => format!("{name}:{port}"),
            ServerAddress::Unix(path) => format!("unix:{}", path.display()),
        };
        let servers = vec![UpstreamServer::new(address)];
        Self {
            name,
            servers,
            balancing: Balancing::default(),
            keeps_state,
            keepalive: 0,
            unsupported: None,
        }
    }
}

impl ServerAddress {
    /// Parses `HOST`, `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// The address is invalid; the text is that of nginx.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(format!(
                    "no path in the unix domain socket in upstream \"{text}\""
                ));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let bracket = text.rfind(']').unwrap_or(0);
        let colon = text[bracket..].rfind(':').map(|at| bracket + at);
        let host = colon.map_or(text, |at| &text[..at]);
        let port = match colon.map(|at| &text[at + 1..]) {
            None => default_port,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let port = digits.parse::<u16>().ok().filter(|port| *port > 0);
                port.ok_or_else(|| format!("invalid port in upstream \"{text}\""))?
            }
            Some(_) => return Err(format!("invalid port in upstream \"{text}\"")),
        };
        if host.is_empty() {
            return Err(format!("no host in upstream \"{text}\""));
        }
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if let Ok(address) = inner.unwrap_or(host).parse::<IpAddr>()
            && address.is_ipv6() == inner.is_some()
        {
            return Ok(Self::Ip(SocketAddr::new(address, port)));
        }
        let is_part_of_name =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if !host.bytes().all(is_part_of_name) {
            return Err(format!("invalid host in upstream \"{text}\""));
        }
        Ok(Self::Name(host.to_ascii_lowercase(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_as_in_nginx() {
        let name = |name: &str, port| Ok(ServerAddress::Name(name.to_owned(), port));
        let ip = |text: &str| Ok(ServerAddress::Ip(text.parse().expect("an address")));
        for (text, expected) in [
            ("127.0.0.1:81", ip("127.0.0.1:81")),
            ("127.0.0.1", ip("127.0.0.1:80")),
            ("[::1]:81", ip("[::1]:81")),
            ("[::1]", ip("[::1]:80")),
            ("My_app", name("my_app", 80)),
            ("localhost:8080", name("localhost", 8080)),
            ("unix:/a b", Ok(ServerAddress::Unix("/a b".into()))),
            (
                "unix:",
                Err("no path in the unix domain socket in upstream \"unix:\"".to_owned()),
            ),
            ("a:0", Err("invalid port in upstream \"a:0\"".to_owned())),
            (
                "a:99999",
                Err("invalid port in upstream \"a:99999\"".to_owned()),
            ),
            (":80", Err("no host in upstream \":80\"".to_owned())),
            ("", Err("no host in upstream \"\"".to_owned())),
            (
                "user@host",
                Err("invalid host in upstream \"user@host\"".to_owned()),
            ),
        ] {
            assert_eq!(ServerAddress::parse(text, 80), expected, "{text}");
        }
    }
}
