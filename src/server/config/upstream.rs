//! Groups of back-end servers (nginx: `upstream`), and the single server that an address without a
//! group names.
//!
//! What is known of servers while requests are made, such as failures, is kept in
//! `server::http::balancer`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Expression;

/// Failures within [`UpstreamServer::fail_timeout`] after which a server is left out, by default.
pub const MAX_FAILS: u32 = 1;
/// How long failures count, and how long a server is left out, by default.
pub const FAIL_TIMEOUT: Duration = Duration::from_secs(10);

/// The groups of a configuration, by name in lower case.
pub type Upstreams = HashMap<String, Arc<Upstream>>;

/// A group of servers that are tried in turn.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name, or the host and port that it stands for.
    pub name: String,
    /// Its servers, in the order of the file.
    pub servers: Vec<UpstreamServer>,
    /// Which of them is tried first.
    pub balancing: Balancing,
    /// Failures are remembered for later requests. Off for addresses that a request makes, of which
    /// there is no end.
    pub keeps_state: bool,
    /// `keepalive`: idle connections to each server that a shard keeps for further requests. 0 =
    /// every request has its own connection, as in nginx: a server that sends more than its
    /// response then harms no other request.
    pub keepalive: usize,
    /// The first directive in it that is not supported: requests to the group are answered with
    /// 503.
    pub unsupported: Option<String>,
}

/// A server of a group.
#[derive(Clone, Debug)]
pub struct UpstreamServer {
    /// Where it is.
    pub address: ServerAddress,
    /// `weight`
    pub weight: u32,
    /// `max_fails`; 0 = it is never left out.
    pub max_fails: u32,
    /// `fail_timeout`
    pub fail_timeout: Duration,
    /// `max_conns`; `None` = unlimited.
    pub max_connections: Option<u32>,
    /// `backup`: it is tried only when none of the others can be.
    pub is_backup: bool,
    /// `down`: it is never tried.
    pub is_down: bool,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// An IP address with its port.
    Ip(SocketAddr),
    /// A host name with its port; each of its addresses is a server.
    Name(String, u16),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// How the first server of a request is chosen.
#[derive(Clone, Debug, Default)]
pub enum Balancing {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest connections for its weight (`least_conn`).
    LeastConnections,
    /// By the client's network (`ip_hash`).
    ClientAddress,
    /// By a text (`hash`).
    Key(Expression),
}

impl UpstreamServer {
    /// A server with nginx's defaults.
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
    /// The group of a single address; `keeps_state` as [`Upstream::keeps_state`].
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
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// What is wrong with it, in nginx's words.
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
    fn addresses_are_read_as_nginx_reads_them() {
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
