//! Sets of clients by address (`allow`, `deny`, `set_real_ip_from`), and the proxies that are
//! trusted to set the client address.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// A set of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// `all`: every client.
    All,
    /// `unix:`: clients of unix sockets.
    Unix,
    /// An address or network.
    Network(IpNet),
}

impl fmt::Display for Clients {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clients::All => out.write_str("all"),
            Clients::Unix => out.write_str("unix:"),
            Clients::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(out)
            }
            Clients::Network(network) => network.fmt(out),
        }
    }
}

impl Clients {
    /// Parses `all`, `unix:`, an address or a network.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => return Some(Clients::All),
            "unix:" => return Some(Clients::Unix),
            _ => {}
        }
        let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
        // As in nginx, address bits beyond the mask are ignored.
        text.parse::<IpNet>()
            .ok()
            .or_else(address)
            .map(|network| Clients::Network(network.trunc()))
    }

    /// Whether the set includes a client; `None` = a client of a unix socket.
    #[must_use]
    pub fn include(&self, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Clients::All, _) | (Clients::Unix, None) => true,
            (Clients::Network(network), Some(address)) => network.contains(&address),
            _ => false,
        }
    }
}

/// `set_real_ip_from` and related directives: proxies that are trusted to set the client address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealIp {
    /// `set_real_ip_from`: the trusted proxies.
    pub trusted: Vec<Clients>,
    /// `real_ip_header`
    pub header: RealIpHeader,
    /// `real_ip_recursive`: trusted proxies in the list of addresses are skipped.
    pub recursive: bool,
}

/// `real_ip_header`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealIpHeader {
    /// All `X-Forwarded-For` headers as one list.
    ForwardedFor,
    /// The first header of that name, in lower case.
    Named(String),
}

impl RealIp {
    /// Trusts these proxies to set `X-Real-IP`.
    #[must_use]
    pub fn from_x_real_ip(trusted: Vec<Clients>) -> Self {
        Self {
            trusted,
            header: RealIpHeader::Named("x-real-ip".to_owned()),
            recursive: false,
        }
    }

    /// Whether the peer with this address, or `unix:`, is trusted.
    #[must_use]
    pub fn trusts(&self, address: &str) -> bool {
        let address = address
            .parse()
            .ok()
            .map(|address: IpAddr| address.to_canonical());
        self.trusted.iter().any(|clients| clients.include(address))
    }
}
