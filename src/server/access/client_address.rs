//! The client address behind a proxy (nginx's realip module), from a header of a trusted proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::server::config::model::clients::{RealIp, RealIpHeader};
use crate::server::exchange::request::{Endpoints, Request};

/// An address in the header of a proxy; the port is 0 if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ForwardedClient {
    address: IpAddr,
    port: u16,
}

/// Returns the endpoints with the client address from a trusted proxy; `None` if there is none.
pub(in crate::server) fn endpoints(real_ip: &RealIp, request: &Request<'_>) -> Option<Endpoints> {
    let named = match &real_ip.header {
        RealIpHeader::ForwardedFor => "x-forwarded-for",
        RealIpHeader::Named(name) => name,
    };
    let mut values = request
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(named))
        .map(|header| header.value);
    let peer = &request.endpoints.remote_address;
    let client = match real_ip.header {
        RealIpHeader::ForwardedFor => last_untrusted(real_ip, peer, values.rev()),
        RealIpHeader::Named(_) => last_untrusted(real_ip, peer, values.next().into_iter()),
    }?;
    Some(Endpoints {
        remote_address: text(client.address),
        remote_port: client.port,
        ..request.endpoints.clone()
    })
}

/// Searches `values`, the last one first, from the end: returns the first address, or with
/// `real_ip_recursive` the first address that is not trusted itself.
fn last_untrusted<'a>(
    real_ip: &RealIp,
    peer: &str,
    values: impl Iterator<Item = &'a [u8]>,
) -> Option<ForwardedClient> {
    let mut found = None;
    for value in values {
        let reached_start = walk_list(real_ip, peer, value, &mut found);
        if !reached_start || !real_ip.recursive {
            break;
        }
    }
    found
}

/// Walks back through one list while addresses are trusted; returns whether its start is reached.
fn walk_list(
    real_ip: &RealIp,
    peer: &str,
    mut list: &[u8],
    found: &mut Option<ForwardedClient>,
) -> bool {
    let is_separator = |byte: &u8| matches!(byte, b' ' | b',');
    loop {
        let is_trusted = match found {
            None => real_ip.trusts(peer),
            Some(client) => real_ip.trusts(&client.address.to_string()),
        };
        if !is_trusted {
            return false;
        }
        // As in nginx, a separator at the start belongs to the address and makes it invalid.
        let end = list
            .iter()
            .rposition(|byte| !is_separator(byte))
            .map_or(1, |last| last + 1)
            .min(list.len());
        let start = list[..end]
            .iter()
            .rposition(is_separator)
            .filter(|at| *at > 0)
            .map_or(0, |at| at + 1);
        let Some(client) = parse(&list[start..end]) else {
            return false;
        };
        *found = Some(client);
        if start == 0 || !real_ip.recursive {
            return true;
        }
        list = &list[..start - 1];
    }
}

/// Parses an address with an optional port, exactly as nginx does.
fn parse(text: &[u8]) -> Option<ForwardedClient> {
    if let Some(address) = address(text) {
        return Some(ForwardedClient { address, port: 0 });
    }
    let (host, port) = match text.strip_prefix(b"[") {
        Some(rest) => {
            let end = memchr::memchr(b']', rest)?;
            (&rest[..end], rest[end + 1..].strip_prefix(b":")?)
        }
        None => {
            let colon = memchr::memchr(b':', text)?;
            (&text[..colon], &text[colon + 1..])
        }
    };
    let is_number = !port.is_empty() && port.iter().all(u8::is_ascii_digit);
    let port = std::str::from_utf8(port)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
        .filter(|port| *port > 0)?;
    Some(ForwardedClient {
        address: address(host)?,
        port,
    })
}

fn address(text: &[u8]) -> Option<IpAddr> {
    ipv4(text)
        .map(IpAddr::V4)
        .or_else(|| ipv6(text).map(IpAddr::V6))
}

/// Parses four decimal numbers, which may have leading zeros or be empty; not the broadcast
/// address.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0_u32; 4];
    let mut at = 0;
    for byte in text {
        match byte {
            b'.' => at += 1,
            digit if digit.is_ascii_digit() => {
                let octet = octets.get_mut(at)?;
                *octet = *octet * 10 + u32::from(digit - b'0');
                if *octet > 255 {
                    return None;
                }
            }
            _ => return None,
        }
    }
    let address = Ipv4Addr::from(octets.iter().fold(0, |number, octet| number << 8 | octet));
    (at == 3 && address != Ipv4Addr::BROADCAST).then_some(address)
}

/// Parses groups of hexadecimal digits. A single colon may come first; `::` stands for at least one
/// group of zeros.
fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let text = text.strip_prefix(b":").unwrap_or(text);
    let mut groups: Vec<u16> = Vec::new();
    let mut zeros: Option<usize> = None;
    let mut digits = 0;
    let mut group = 0_u16;
    let mut group_start = None;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b':' if digits > 0 && groups.len() < 7 => {
                groups.push(group);
                (digits, group, group_start) = (0, 0, Some(at + 1));
            }
            b':' if digits == 0 && zeros.is_none() => {
                zeros = Some(groups.len());
                group_start = Some(at + 1);
            }
            b'.' if digits > 0 && groups.len() < 7 => {
                let number = u32::from(ipv4(&text[group_start?..])?);
                groups.push((number >> 16) as u16);
                group = (number & 0xffff) as u16;
                break;
            }
            digit => {
                let value = char::from(*digit).to_digit(16).filter(|_| digits < 4)?;
                digits += 1;
                group = group << 4 | value as u16;
            }
        }
    }
    if digits == 0 && zeros.is_none() {
        return None;
    }
    groups.push(group);
    let missing = 8_usize.checked_sub(groups.len())?;
    match zeros {
        Some(at) if missing > 0 => drop(groups.splice(at..at, std::iter::repeat_n(0, missing))),
        None if missing == 0 => {}
        _ => return None,
    }
    <[u16; 8]>::try_from(groups).ok().map(Ipv6Addr::from)
}

/// Formats the address as nginx does: as the standard library, except for addresses that end in an
/// IPv4 address.
fn text(address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) => match v6.segments() {
            [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
                format!(
                    "::{}",
                    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
                )
            }
            _ => v6.to_string(),
        },
        IpAddr::V4(v4) => v4.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::model::clients::Clients;

    fn found(recursive: bool, peer: &str, lists: &[&str]) -> Option<String> {
        let network = |text: &str| Clients::Network(text.parse().expect("a network"));
        let trusted = vec![
            network("10.0.0.0/8"),
            network("2001:db8::/32"),
            Clients::Unix,
        ];
        let real_ip = RealIp {
            trusted,
            header: RealIpHeader::ForwardedFor,
            recursive,
        };
        let client = last_untrusted(
            &real_ip,
            peer,
            lists.iter().rev().map(|list| list.as_bytes()),
        );
        client.map(|ForwardedClient { address, port }| format!("{} {port}", text(address)))
    }

    #[test]
    fn only_trusted_proxies_name_the_client() {
        for (recursive, peer, list, expected) in [
            (false, "10.0.0.1", "192.0.2.1", Some("192.0.2.1 0")),
            (
                false,
                "10.0.0.1",
                "198.51.100.7, 192.0.2.1",
                Some("192.0.2.1 0"),
            ),
            (false, "10.0.0.1", "192.0.2.1, 10.0.0.2", Some("10.0.0.2 0")),
            (
                true,
                "10.0.0.1",
                "198.51.100.7, 192.0.2.1,10.0.0.2 ,",
                Some("192.0.2.1 0"),
            ),
            (true, "10.0.0.1", "10.0.0.3, 10.0.0.2", Some("10.0.0.3 0")),
            (true, "10.0.0.1", "nonsense, 10.0.0.2", Some("10.0.0.2 0")),
            (
                true,
                "10.0.0.1",
                "192.0.2.1, nonsense, 10.0.0.2",
                Some("10.0.0.2 0"),
            ),
            (
                true,
                "10.0.0.1",
                "192.0.2.1, ::ffff:10.0.0.3, 10.0.0.2",
                Some("192.0.2.1 0"),
            ),
            (
                true,
                "10.0.0.1",
                "192.0.2.1:5, 10.0.0.2:6",
                Some("192.0.2.1 5"),
            ),
            (
                true,
                "10.0.0.1",
                "192.0.2.1\t, 10.0.0.2",
                Some("10.0.0.2 0"),
            ),
            (true, "10.0.0.1", "192.0.2.1, 10.0.0.2\t", None),
            (false, "10.0.0.1", "192.0.2.1:8080", Some("192.0.2.1 8080")),
            (false, "unix:", "[2001:db8::1]:80", Some("2001:db8::1 80")),
            (
                false,
                "::ffff:10.0.0.1",
                "2001:db9::1",
                Some("2001:db9::1 0"),
            ),
            (false, "192.0.2.9", "192.0.2.1", None),
            (true, "10.0.0.1", "nonsense", None),
            (true, "10.0.0.1", "", None),
            (true, "10.0.0.1", ", ,", None),
            (false, "10.0.0.1", ",192.0.2.1", None),
            (false, "10.0.0.1", ", 192.0.2.1", Some("192.0.2.1 0")),
        ] {
            assert_eq!(
                found(recursive, peer, &[list]).as_deref(),
                expected,
                "{peer} {list}"
            );
        }
    }

    #[test]
    fn several_headers_are_lists_of_their_own() {
        assert_eq!(
            found(true, "10.0.0.1", &["192.0.2.1", "10.0.0.2"]).as_deref(),
            Some("192.0.2.1 0")
        );
        assert_eq!(
            found(false, "10.0.0.1", &["192.0.2.1", "10.0.0.2"]).as_deref(),
            Some("10.0.0.2 0")
        );
        assert_eq!(
            found(true, "10.0.0.1", &["192.0.2.1, ", ""]),
            None,
            "the last one names no client"
        );
        assert_eq!(
            found(true, "10.0.0.1", &["192.0.2.1", "198.51.100.7"]).as_deref(),
            Some("198.51.100.7 0")
        );
    }

    #[test]
    fn addresses_are_those_that_nginx_accepts() {
        // Each was tried with nginx 1.22.1.
        for (value, expected) in [
            ("010.0.0.001", Some("10.0.0.1 0")),
            ("10..0.1", Some("10.0.0.1 0")),
            ("10.0.0.1:080", Some("10.0.0.1 80")),
            ("[10.0.0.1]:80", Some("10.0.0.1 80")),
            ("::", Some(":: 0")),
            ("::1", Some("::1 0")),
            (":1::2", Some("1::2 0")),
            ("[::1]:80", Some("::1 80")),
            ("::ffff:a00:1", Some("::ffff:10.0.0.1 0")),
            ("::ffff:010.0.0.1", Some("::ffff:10.0.0.1 0")),
            ("::10.0.0.1", Some("::10.0.0.1 0")),
            ("2001:DB8::A", Some("2001:db8::a 0")),
            ("1:2:3:4:5:6:1.2.3.4", Some("1:2:3:4:5:6:102:304 0")),
            ("1::3:4:5:6:7:8", Some("1:0:3:4:5:6:7:8 0")),
            ("[10.0.0.1]", None),
            ("[::1]", None),
            ("[::1]80", None),
            ("::1]", None),
            ("[]", None),
            ("\t10.0.0.1", None),
            ("0x0a.0.0.1", None),
            ("10.1", None),
            ("10.0.0.256", None),
            ("10.0.0.1.", None),
            ("1.2.3.4.5", None),
            ("10.0.0.1:0", None),
            ("10.0.0.1:", None),
            ("10.0.0.1:65536", None),
            ("10.0.0.1:+80", None),
            ("10.0.0.1/8", None),
            ("+10.0.0.1", None),
            ("255.255.255.255", None),
            ("fe80::1%lo", None),
            ("unix:", None),
            ("1:2:3:4:5:6:7", None),
            ("1:2:3:4:5:6:7::", None),
            ("1:2:3:4:5:6:7:8:9", None),
            ("12345::1", None),
            ("00001::1", None),
            (":::", None),
            ("1::2::3", None),
            ("1:", None),
            (":1", None),
            ("::1.2.3", None),
            ("::1.2.3.4:5", None),
            ("localhost", None),
        ] {
            assert_eq!(
                found(false, "10.0.0.1", &[value]).as_deref(),
                expected,
                "{value}"
            );
        }
    }
}
