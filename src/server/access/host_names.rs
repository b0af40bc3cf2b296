//! Names of the server in requests: a web page that has bound its own name to the address of the
//! server (DNS rebinding) is rejected by the name that it uses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::server::config::ListenAddress;
use crate::server::config::model::browsers::{BrowserAccess, split_port};
use crate::server::config::model::clients::RealIp;
use crate::server::exchange::request::{Endpoints, Request};
use crate::server::exchange::target::RequestTarget;

/// The listener that has accepted the connection of a request.
#[derive(Clone, Copy)]
pub(in crate::server) struct ListenerTraits<'a> {
    pub(in crate::server) address: &'a ListenAddress,
    /// The proxies that are trusted for all locations.
    pub(in crate::server) real_ip: Option<&'a Arc<RealIp>>,
}

/// Returns the name in the request if it is not a name of the server. Names are checked at
/// listeners on loopback addresses, whose names are all known, and with `--server-name`. Requests
/// of a trusted proxy are not checked.
pub(super) fn find_wrong_name(
    access: &BrowserAccess,
    request: &Request<'_>,
    peer: &Endpoints,
    listener: ListenerTraits<'_>,
) -> Option<Vec<u8>> {
    let ListenAddress::Tcp(address) = listener.address else {
        return None;
    };
    if !address.ip().to_canonical().is_loopback() && access.server_names.is_empty() {
        return None;
    }
    let of_target = RequestTarget::of(request.target).and_then(|target| target.authority);
    let mut named = [of_target, request.header("host")].into_iter().flatten();
    let wrong = named.find(|named| !is_known(access, named))?;
    (!listener
        .real_ip
        .is_some_and(|real_ip| real_ip.trusts(&peer.remote_address)))
    .then(|| wrong.to_vec())
}

/// Returns whether a `Host` is an address, `localhost` or a name of the server. Browsers take names
/// that end in a number for addresses.
fn is_known(access: &BrowserAccess, authority: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(authority.trim_ascii()) else {
        return false;
    };
    let (host, _) = split_port(text);
    let host = host.strip_suffix('.').unwrap_or(host);
    if let Some(address) = host.strip_prefix('[') {
        return address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    // Only clients other than browsers send an empty one.
    host.is_empty()
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok()
        || (is_number && !last.is_empty())
        || access
            .server_names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(host))
}
