//! Locations that stand for a back-end: where the requests of hooks go (NHPM and nchan reference, section 2.9).
//!
//! As much of nginx's proxy as they need: requests and answers of bounded size, over plain HTTP.

use std::time::Duration;

use bytes::Bytes;

use super::{Expression, Variables};

/// Settings of such a location.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// `proxy_pass`: address and maybe path of the back-end.
    pub pass: Expression,
    /// Bytes of the location's pattern, which the path of `proxy_pass` replaces; `None` = it replaces all.
    pub replaced: Option<usize>,
    /// `proxy_set_header`, in order; a header with an empty value is not sent.
    pub headers: Vec<(Bytes, Expression)>,
    /// `proxy_pass_request_body`
    pub passes_body: bool,
    /// `proxy_pass_request_headers`
    pub passes_headers: bool,
    /// `proxy_method`
    pub method: Option<Bytes>,
    /// `proxy_read_timeout`, if it is shorter than the bound for all back-ends.
    pub timeout: Option<Duration>,
}

impl ProxySettings {
    /// The address that a request for `path` with these arguments goes to.
    #[must_use]
    pub fn address(&self, path: &[u8], arguments: &[u8], variables: &dyn Variables) -> Vec<u8> {
        let pass = self.pass.evaluate(variables);
        let after_scheme = memchr::memmem::find(&pass, b"://").map_or(0, |at| at + 3);
        let has_path = memchr::memchr(b'/', &pass[after_scheme..]).is_some();
        let mut address = pass.to_vec();
        match self.replaced {
            _ if !has_path => address.extend_from_slice(&escaped(path)),
            Some(length) => address.extend_from_slice(&escaped(path.get(length..).unwrap_or_default())),
            None => {}
        }
        if !arguments.is_empty() {
            address.push(if address.contains(&b'?') { b'&' } else { b'?' });
            address.extend_from_slice(arguments);
        }
        address
    }
}

/// A path as it stands in a request line.
fn escaped(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_graphic() && !b"?#%\"<>\\^`{|}".contains(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::Names;

    struct Nothing;

    impl Variables for Nothing {
        fn argument(&self, _: &[u8]) -> Option<&[u8]> {
            None
        }
        fn header(&self, _: &str) -> Option<&[u8]> {
            None
        }
        fn capture(&self, _: usize) -> Option<&[u8]> {
            None
        }
        fn named_capture(&self, _: &str) -> Option<&[u8]> {
            None
        }
        fn builtin(&self, _: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
            None
        }
    }

    #[test]
    fn the_path_of_proxy_pass_replaces_that_of_the_location() {
        for (pass, replaced, path, arguments, expected) in [
            ("http://a:1", Some(3), "/up/x y", "", "http://a:1/up/x%20y"),
            ("http://a:1/", Some(4), "/up/x", "id=1", "http://a:1/x?id=1"),
            ("http://a:1/auth", Some(8), "/up-auth", "id=1", "http://a:1/auth?id=1"),
            ("http://a:1/auth?k=v", None, "/up-auth", "id=1", "http://a:1/auth?k=v&id=1"),
        ] {
            let pass = Expression::parse_with(pass.as_bytes(), &Names::default()).expect("an address");
            let (headers, method, timeout) = (Vec::new(), None, None);
            let settings = ProxySettings { pass, replaced, headers, passes_body: true, passes_headers: true, method, timeout };
            let address = settings.address(path.as_bytes(), arguments.as_bytes(), &Nothing);
            assert_eq!(String::from_utf8_lossy(&address), expected);
        }
    }
}
