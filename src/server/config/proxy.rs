//! Locations that stand for a back-end: where the requests of hooks go (NHPM and nchan reference, section 2.9).
//!
//! As much of nginx's proxy as they need: requests and answers of bounded size, over plain HTTP.

use std::time::Duration;

use bytes::Bytes;

use super::{Expression, Variables, escape};

/// Settings of such a location.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// `proxy_pass`: address and maybe path of the back-end.
    pub pass: Expression,
    /// Bytes of the location's pattern, which the path of `proxy_pass` replaces; `None` = it replaces all.
    pub replaced: Option<usize>,
    /// There are variables in `proxy_pass`, so that its path and query are sent as they are.
    pub has_variables: bool,
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
    /// The address that a request for `path` with these arguments goes to, as nginx makes it. The arguments of the client
    /// are left out where variables say what is sent: `?id=$name` must not become `?id=NAME&id=OTHER`. With `is_rewritten` the
    /// request has another path than the one that its location was chosen by: the whole of it is sent.
    #[must_use]
    pub fn address(&self, path: &[u8], arguments: &[u8], variables: &dyn Variables, is_rewritten: bool) -> Vec<u8> {
        let pass = self.pass.evaluate(variables);
        let after_scheme = memchr::memmem::find(&pass, b"://").map_or(0, |at| at + 3);
        let uri = memchr::memchr3(b'/', b'?', b'#', &pass[after_scheme..]).map(|at| after_scheme + at);
        let (host, uri) = pass.split_at(uri.unwrap_or(pass.len()));
        let uri = if is_rewritten && !self.has_variables { b"" } else { uri };
        let mut address = host.to_vec();
        if !uri.is_empty() && !uri.starts_with(b"/") {
            address.push(b'/');
        }
        push_without_fragment(uri, &mut address);
        match self.replaced {
            _ if uri.is_empty() => address.extend_from_slice(&escape::path(path)),
            _ if self.has_variables => return address,
            Some(length) => address.extend_from_slice(&escape::path(path.get(length..).unwrap_or_default())),
            None => {}
        }
        if !arguments.is_empty() {
            // A second question mark, as in nginx: what the file says in front of it stays the whole of the first argument.
            address.push(b'?');
            push_without_fragment(arguments, &mut address);
        }
        address
    }
}

/// Appends a part of an address in which a `#` is meant as such: it would be cut off with what follows it.
fn push_without_fragment(part: &[u8], address: &mut Vec<u8>) {
    for byte in part {
        if *byte == b'#' { address.extend_from_slice(b"%23") } else { address.push(*byte) }
    }
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
            ("http://a:1/auth?k=v", None, "/up-auth", "id=1", "http://a:1/auth?k=v?id=1"),
            ("http://a:1?k=v", None, "/up-auth", "", "http://a:1/?k=v"),
        ] {
            let pass = Expression::parse_with(pass.as_bytes(), &Names::default()).expect("an address");
            let (headers, method, timeout) = (Vec::new(), None, None);
            let has_variables = false;
            let settings =
                ProxySettings { pass, replaced, has_variables, headers, passes_body: true, passes_headers: true, method, timeout };
            let address = settings.address(path.as_bytes(), arguments.as_bytes(), &Nothing, false);
            assert_eq!(String::from_utf8_lossy(&address), expected);
        }
    }
}
