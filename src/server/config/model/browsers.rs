//! Restrictions on requests of web pages to the built-in locations: allowed origins, and allowed
//! names of the server (against DNS rebinding).
//!
//! Applied to requests by `access::browser_guard`.

use std::fmt;

/// Restrictions on requests that browsers send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrowserAccess {
    /// `--allow-origin`: other origins whose pages may use the server.
    pub allowed_origins: AllowedOrigins,
    /// `--server-name`: additional names of the server, in lower case.
    pub server_names: Vec<String>,
}

/// Origins, other than that of the server, whose pages may use the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// These origins.
    Named(Vec<Origin>),
    /// All origins.
    All,
}

/// An origin (RFC 6454, section 6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `null`: local files, sandboxed frames.
    Opaque,
    /// Scheme, host and port.
    Tuple {
        /// The scheme, in lower case.
        scheme: String,
        /// The host, in lower case; an IPv6 address is in brackets.
        host: String,
        /// `None` = the default port of the scheme.
        port: Option<u16>,
    },
}

impl Default for AllowedOrigins {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl AllowedOrigins {
    /// Whether pages of `origin` may use the server.
    #[must_use]
    pub fn include(&self, origin: &Origin) -> bool {
        match self {
            Self::All => true,
            Self::Named(origins) => origins.contains(origin),
        }
    }

    /// Whether pages of no other origin may use the server.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Named(origins) if origins.is_empty())
    }
}

impl Origin {
    /// Parses an `Origin` header or an argument of `--allow-origin`; `None` = invalid.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text == b"null" {
            return Some(Self::Opaque);
        }
        let text = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let is_host = |byte: u8| {
            byte.is_ascii_graphic()
                && !matches!(byte, b'/' | b'?' | b'#' | b'@' | b'\\' | b',' | b'*')
        };
        if scheme.is_empty() || !scheme.bytes().all(is_scheme) || !authority.bytes().all(is_host) {
            return None;
        }
        let (host, port) = split_port(authority);
        let port = port.map(str::parse::<u16>).transpose().ok()?;
        let port = port.filter(|port| Some(*port) != default_port(scheme));
        (!host.is_empty()).then(|| Self::Tuple {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port,
        })
    }

    /// Whether a page of this origin was loaded from the server at `authority` (`HOST` or
    /// `HOST:PORT`, as in a `Host` header). The scheme is ignored: a proxy may terminate TLS.
    #[must_use]
    pub fn is_at(&self, authority: &str) -> bool {
        let Self::Tuple { scheme, host, port } = self else {
            return false;
        };
        let Some(default) = default_port(scheme) else {
            return false;
        };
        let (name, given) = split_port(authority);
        let same_port = match given {
            Some(given) => given.parse::<u16>().ok() == Some(port.unwrap_or(default)),
            None => port.is_none(),
        };
        same_port && name.eq_ignore_ascii_case(host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opaque => out.write_str("null"),
            Self::Tuple {
                scheme,
                host,
                port: None,
            } => write!(out, "{scheme}://{host}"),
            Self::Tuple {
                scheme,
                host,
                port: Some(port),
            } => write!(out, "{scheme}://{host}:{port}"),
        }
    }
}

/// Splits an authority into host and port; an IPv6 address keeps its brackets.
#[must_use]
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Default port of a scheme by which pages of the server may be loaded.
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_by_scheme_host_and_port() {
        let parse = |text: &str| Origin::parse(text.as_bytes());
        assert_eq!(
            parse("HTTP://Example.test:80"),
            parse("http://example.test")
        );
        assert_eq!(
            parse("https://example.test:443"),
            parse("https://example.test")
        );
        for (one, other) in [
            ("http://a.test", "https://a.test"),
            ("http://a.test", "http://a.test:8080"),
            ("http://a.test", "http://a.test.evil.test"),
            ("http://[::1]:1", "http://[::1]:2"),
        ] {
            assert_ne!(parse(one), parse(other), "{one}");
        }
        assert_eq!(
            parse("http://[::1]:9080")
                .map(|origin| origin.to_string())
                .as_deref(),
            Some("http://[::1]:9080")
        );
        for text in [
            "",
            "*",
            "example.test",
            "http://",
            "http://a/",
            "http://a b",
            "http://u@a",
            "http://a:x",
            "http://a:70000",
            "http://a, http://b",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_page_of_the_server_has_its_host_and_port_under_any_scheme() {
        for (origin, authority, expected) in [
            ("http://localhost:9080", "localhost:9080", true),
            ("http://LocalHost:9080", "LOCALHOST:9080", true),
            ("http://[::1]:9080", "[::1]:9080", true),
            ("https://push.test", "push.test", true),
            ("https://push.test", "push.test:443", true),
            ("http://push.test", "push.test:80", true),
            ("https://push.test:8443", "push.test:8443", true),
            ("http://localhost:8000", "localhost:9080", false),
            ("http://localhost", "localhost:9080", false),
            ("http://localhost:9080", "localhost", false),
            ("http://127.0.0.1:9080", "localhost:9080", false),
            ("http://push.test.evil.test", "push.test", false),
            ("capacitor://localhost", "localhost", false),
            ("null", "localhost:9080", false),
        ] {
            let origin = Origin::parse(origin.as_bytes()).expect("an origin");
            assert_eq!(origin.is_at(authority), expected, "{origin} at {authority}");
        }
    }
}
