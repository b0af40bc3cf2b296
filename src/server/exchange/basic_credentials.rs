//! Credentials of basic authentication, as a request sends them (RFC 7617).

use crate::server::config::expression::base64;

/// Decodes name and password of an `Authorization: Basic` header as nginx does.
pub(in crate::server) fn decode_pair(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = base64::decode(rest.trim_ascii())?;
    pair.contains(&b':').then_some(pair)
}
