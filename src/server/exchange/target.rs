//! Request targets and hosts, as nginx reads them.

use std::borrow::Cow;

use crate::server::config::normalise_with_slashes;

/// A parsed request target.
pub(in crate::server) struct RequestTarget<'a> {
    /// Host of an absolute target.
    pub(in crate::server) authority: Option<&'a [u8]>,
    /// The part after it: nginx's `$request_uri`.
    pub(in crate::server) unparsed_uri: &'a [u8],
}

impl<'a> RequestTarget<'a> {
    /// Parses a path, or the absolute form that proxies get, `scheme://host:port/path`. The host
    /// ends as in nginx.
    pub(in crate::server) fn of(target: &'a [u8]) -> Option<Self> {
        if target.first() == Some(&b'/') {
            return Some(Self {
                authority: None,
                unparsed_uri: target,
            });
        }
        let scheme = memchr::memmem::find(target, b"://")?;
        let is_of_scheme =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !target.first()?.is_ascii_alphabetic() || !target[..scheme].iter().all(is_of_scheme) {
            return None;
        }
        let rest = &target[scheme + 3..];
        let end = match rest.first()? {
            b'[' => {
                memchr::memchr(b']', rest).filter(|end| rest[1..*end].iter().all(is_of_literal))?
                    + 1
            }
            _ => rest
                .iter()
                .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')))
                .unwrap_or(rest.len()),
        };
        let (authority, after) = rest.split_at(end);
        let unparsed_uri = match after.strip_prefix(b":") {
            Some(port) => {
                &port[port
                    .iter()
                    .position(|byte| !byte.is_ascii_digit())
                    .unwrap_or(port.len())..]
            }
            None => after,
        };
        match unparsed_uri.first() {
            None => Some(Self {
                authority: Some(authority),
                unparsed_uri: b"/",
            }),
            Some(b'/' | b'?') => Some(Self {
                authority: Some(authority),
                unparsed_uri,
            }),
            Some(_) => None,
        }
    }
}

/// Returns whether the byte may be in an address in brackets.
fn is_of_literal(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b":-._~!$&'()*+,;=".contains(byte)
}

/// Returns the undecoded path of a target without its host.
pub(in crate::server) fn raw_path(unparsed_uri: &[u8]) -> &[u8] {
    match &unparsed_uri[..memchr::memchr2(b'?', b'#', unparsed_uri).unwrap_or(unparsed_uri.len())] {
        b"" => b"/",
        path => path,
    }
}

/// Returns the host without its port and without a trailing dot; `None` if it is invalid. Accepts
/// what nginx accepts, except `?`, `#` and non-ASCII bytes: the host may become part of addresses
/// and paths.
pub(in crate::server) fn host_name(value: &[u8]) -> Option<&[u8]> {
    let is_invalid = |byte: &u8| matches!(byte, 0..=b' ' | b'/' | b'?' | b'#' | 0x7f..);
    if value.iter().any(is_invalid) || memchr::memmem::find(value, b"..").is_some() {
        return None;
    }
    let literal = if value.first() == Some(&b'[') {
        memchr::memchr(b']', value).map(|end| end + 1)
    } else {
        None
    };
    let end = match (literal, value.first()) {
        (Some(end), _) => end,
        // Nothing ends an address that is not closed.
        (None, Some(b'[')) => value.len(),
        (None, _) => memchr::memchr(b':', value).unwrap_or(value.len()),
    };
    let name = value[..end].strip_suffix(b".").unwrap_or(&value[..end]);
    (!name.is_empty()).then_some(name)
}

/// Normalises the path of a target without merging slashes.
pub(in crate::server) fn path_with_slashes(unparsed_uri: &[u8]) -> Option<Cow<'_, [u8]>> {
    normalise_with_slashes(raw_path(unparsed_uri)).ok()
}
