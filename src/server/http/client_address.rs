//! Who the client is behind a proxy (nginx's realip module): the address in a header, if the proxy is trusted.

use std::net::{IpAddr, SocketAddr};

use crate::server::config::web::{RealIp, RealIpHeader};
use crate::server::request::{Endpoints, Request};

/// The ends of the connection as the trusted proxy tells them; `None` = nobody who is trusted says anything.
pub(super) fn endpoints(real_ip: &RealIp, request: &Request<'_>) -> Option<Endpoints> {
    let values = request.headers.iter().filter(|header| match &real_ip.header {
        RealIpHeader::ForwardedFor => header.name.eq_ignore_ascii_case("x-forwarded-for"),
        RealIpHeader::Named(name) => header.name.eq_ignore_ascii_case(name),
    });
    let values: Vec<&[u8]> = values.map(|header| header.value).collect();
    let list = match real_ip.header {
        RealIpHeader::ForwardedFor => values.join(&b','),
        RealIpHeader::Named(_) => values.first()?.to_vec(),
    };
    let (address, port) = last_untrusted(real_ip, &request.endpoints.remote_address, &list)?;
    Some(Endpoints { remote_address: address.to_string(), remote_port: port, ..request.endpoints.clone() })
}

/// From the end of the list: the first address, or with `real_ip_recursive` the first that is not trusted itself.
fn last_untrusted(real_ip: &RealIp, peer: &str, list: &[u8]) -> Option<(IpAddr, u16)> {
    let mut found: Option<(IpAddr, u16)> = None;
    let addresses = list.split(|byte| matches!(byte, b',' | b' ')).filter(|part| !part.is_empty());
    for part in addresses.rev() {
        let is_trusted = match found {
            None => real_ip.trusts(peer),
            Some((address, _)) => real_ip.recursive && real_ip.trusts(&address.to_string()),
        };
        let Some(next) = is_trusted.then(|| parsed(part)).flatten() else { break };
        found = Some(next);
    }
    found
}

/// An address, with a port or without.
fn parsed(text: &[u8]) -> Option<(IpAddr, u16)> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| (address.ip(), address.port()));
    bare.parse::<IpAddr>().ok().map(|address| (address, 0)).or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::web::Clients;

    #[test]
    fn only_what_trusted_proxies_say_counts() {
        let network = |text: &str| Clients::Network(text.parse().expect("a network"));
        let trusted = vec![network("10.0.0.0/8"), network("2001:db8::/32"), Clients::Unix];
        for (recursive, peer, list, expected) in [
            (false, "10.0.0.1", "192.0.2.1", Some("192.0.2.1:0")),
            (false, "10.0.0.1", "198.51.100.7, 192.0.2.1", Some("192.0.2.1:0")),
            (false, "10.0.0.1", "192.0.2.1, 10.0.0.2", Some("10.0.0.2:0")),
            (true, "10.0.0.1", "198.51.100.7, 192.0.2.1,10.0.0.2 ,", Some("192.0.2.1:0")),
            (true, "10.0.0.1", "10.0.0.3, 10.0.0.2", Some("10.0.0.3:0")),
            (true, "10.0.0.1", "nonsense, 10.0.0.2", Some("10.0.0.2:0")),
            (false, "10.0.0.1", "192.0.2.1:8080", Some("192.0.2.1:8080")),
            (false, "unix:", "[2001:db8::1]:80", Some("[2001:db8::1]:80")),
            (false, "::ffff:10.0.0.1", "2001:db9::1", Some("[2001:db9::1]:0")),
            (false, "192.0.2.9", "192.0.2.1", None),
            (true, "10.0.0.1", "nonsense", None),
            (true, "10.0.0.1", "", None),
        ] {
            let real_ip = RealIp { trusted: trusted.clone(), header: RealIpHeader::ForwardedFor, recursive };
            let found = last_untrusted(&real_ip, peer, list.as_bytes()).map(|(address, port)| SocketAddr::new(address, port).to_string());
            assert_eq!(found.as_deref(), expected, "{peer} {list}");
        }
    }
}
