//! Choice of the server for a request: by the local address of the connection, then by the name in
//! the `Host` header (nginx: `listen` and `server_name`).
//!
//! Names are indexed when the configuration is loaded.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use crate::server::config::{Captures, RegexPattern, VirtualServer};

/// A name or pattern of `server_name`.
#[derive(Clone, Debug)]
pub enum ServerName {
    /// `a.example`, in lower case; empty for requests without a `Host` header.
    Exact(String),
    /// `*.example`, stored as `.example`
    Ending(String),
    /// `www.*`, stored as `www.`
    Beginning(String),
    /// `~re`
    Regex(RegexPattern),
}

impl ServerName {
    /// Parses an argument of `server_name`. `.example` gives two names.
    ///
    /// # Errors
    /// The name is invalid, as in nginx, or its regular expression is invalid or not supported.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        if let Some(pattern) = text.strip_prefix('~') {
            if pattern.is_empty() {
                return Err(format!("empty regex in server name \"{text}\""));
            }
            // Host names are not case-sensitive.
            return RegexPattern::new(pattern, true)
                .map(|regex| vec![ServerName::Regex(regex)])
                .map_err(|error| error.to_string());
        }
        if text == "$hostname" {
            let name = rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .to_ascii_lowercase();
            return Ok(vec![ServerName::Exact(name)]);
        }
        let name = text.to_ascii_lowercase();
        let is_plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.contains('*')
                && !part.contains("..")
        };
        match (
            name.strip_prefix('*'),
            name.strip_prefix('.'),
            name.strip_suffix('*'),
        ) {
            (Some(ending), ..) if ending.strip_prefix('.').is_some_and(is_plain) => {
                Ok(vec![ServerName::Ending(ending.to_owned())])
            }
            (_, Some(domain), _) if is_plain(domain) => Ok(vec![
                ServerName::Exact(domain.to_owned()),
                ServerName::Ending(name),
            ]),
            (_, _, Some(beginning)) if beginning.ends_with('.') && is_plain(beginning) => {
                Ok(vec![ServerName::Beginning(beginning.to_owned())])
            }
            _ if name.is_empty() || is_plain(&name) => Ok(vec![ServerName::Exact(name)]),
            _ => Err(format!("invalid server name or wildcard \"{text}\"")),
        }
    }
}

impl VirtualServer {
    /// Returns the captures of the server name, if a regular expression matches this host and no
    /// other name does.
    #[must_use]
    pub fn captures(&self, host: impl FnOnce() -> String) -> Captures {
        let is_regex = |name: &&ServerName| matches!(name, ServerName::Regex(_));
        if !self.names.iter().any(|name| is_regex(&name)) {
            return Captures::default();
        }
        let host = host();
        if self.names.iter().any(|name| name.matches(&host)) {
            return Captures::default();
        }
        let captured = |name: &ServerName| {
            if let ServerName::Regex(regex) = name {
                regex.captures(host.as_bytes())
            } else {
                None
            }
        };
        self.names.iter().find_map(captured).unwrap_or_default()
    }
}

impl ServerName {
    /// Whether the name matches a host; false for regular expressions.
    fn matches(&self, host: &str) -> bool {
        match self {
            ServerName::Exact(name) => host == name,
            ServerName::Ending(ending) => host.ends_with(ending.as_str()),
            ServerName::Beginning(beginning) => {
                host.len() > beginning.len() && host.starts_with(beginning.as_str())
            }
            ServerName::Regex(_) => false,
        }
    }
}

impl std::fmt::Display for ServerName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServerName::Exact(name) => out.write_str(name),
            ServerName::Ending(ending) => write!(out, "*{ending}"),
            ServerName::Beginning(beginning) => write!(out, "{beginning}*"),
            ServerName::Regex(pattern) => write!(out, "~{}", pattern.text()),
        }
    }
}

/// The servers of a listening address, indexed by name; never empty.
#[derive(Debug)]
pub struct Servers {
    /// In the order of the file.
    all: Vec<Arc<VirtualServer>>,
    /// Index of the default server.
    default: usize,
    exact: HashMap<String, usize>,
    /// Sorted by length, the longest first.
    endings: Vec<(String, usize)>,
    /// Sorted by length, the longest first.
    beginnings: Vec<(String, usize)>,
    /// In the order of the file.
    regexes: Vec<(RegexPattern, usize)>,
}

impl Servers {
    /// Indexes the names of `all`, which must not be empty. `default` is the index of the default
    /// server. If two servers have the same name, the first one is used.
    #[must_use]
    pub fn new(all: Vec<Arc<VirtualServer>>, default: usize) -> Self {
        let mut exact = HashMap::new();
        let mut endings = Vec::new();
        let mut beginnings = Vec::new();
        let mut regexes = Vec::new();
        for (at, server) in all.iter().enumerate() {
            if server.names.is_empty() {
                exact.entry(String::new()).or_insert(at);
            }
            for name in &server.names {
                match name {
                    ServerName::Exact(name) => drop(exact.entry(name.clone()).or_insert(at)),
                    ServerName::Ending(ending) => endings.push((ending.clone(), at)),
                    ServerName::Beginning(beginning) => beginnings.push((beginning.clone(), at)),
                    ServerName::Regex(regex) => regexes.push((regex.clone(), at)),
                }
            }
        }
        // A stable sort keeps the order of equal names.
        endings.sort_by_key(|(ending, _)| std::cmp::Reverse(ending.len()));
        beginnings.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        Self {
            all,
            default,
            exact,
            endings,
            beginnings,
            regexes,
        }
    }

    /// Returns the server for requests whose host matches no name.
    #[must_use]
    pub fn default_server(&self) -> &Arc<VirtualServer> {
        &self.all[self.default]
    }

    /// Finds the server for the `Host` header `host` (lower case, without port; empty = no such
    /// header), in nginx's order: the exact name, the longest `*.x`, the longest `x.*`, the first
    /// regular expression, the default server.
    #[must_use]
    pub fn find(&self, host: &str) -> &Arc<VirtualServer> {
        let ending = || {
            self.endings
                .iter()
                .find(|(ending, _)| host.ends_with(ending.as_str()))
        };
        let beginning = || {
            self.beginnings
                .iter()
                .find(|(text, _)| host.len() > text.len() && host.starts_with(text.as_str()))
        };
        let wildcard = || ending().or_else(beginning).map(|(_, at)| at);
        let regex = || {
            self.regexes
                .iter()
                .find(|(regex, _)| !host.is_empty() && regex.is_match(host.as_bytes()))
                .map(|(_, at)| at)
        };
        let at = self
            .exact
            .get(host)
            .or_else(wildcard)
            .or_else(regex)
            .unwrap_or(&self.default);
        &self.all[*at]
    }
}

impl Deref for Servers {
    type Target = [Arc<VirtualServer>];
    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(names: &[&str], default: usize) -> Servers {
        let server = |names: &&str| {
            let names = names
                .split_whitespace()
                .flat_map(|name| ServerName::parse(name).expect("a valid name"))
                .collect();
            Arc::new(VirtualServer {
                names,
                ..VirtualServer::default()
            })
        };
        Servers::new(names.iter().map(server).collect(), default)
    }

    fn chosen(servers: &Servers, host: &str) -> usize {
        let server = servers.find(host);
        servers
            .iter()
            .position(|other| Arc::ptr_eq(server, other))
            .expect("one of them")
    }

    #[test]
    fn names_are_tried_in_the_order_of_nginx() {
        // Each name matches www.a.example, but those after it take precedence.
        let names = [
            r"~^www\.",
            r"~\.example$",
            "www.*",
            "www.a.*",
            "*.example",
            "*.a.example",
            "www.a.example",
        ];
        for (last, expected) in [(0, 0), (1, 0), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)] {
            assert_eq!(
                chosen(&servers(&names[..=last], 0), "www.a.example"),
                expected,
                "{:?}",
                &names[..=last]
            );
        }
        let reversed: Vec<_> = names.iter().rev().copied().collect();
        for (skipped, expected) in [
            (0, "www.a.example"),
            (1, "*.a.example"),
            (2, "*.example"),
            (3, "www.a.*"),
            (4, "www.*"),
        ] {
            assert_eq!(
                reversed[skipped + chosen(&servers(&reversed[skipped..], 0), "www.a.example")],
                expected
            );
        }
    }

    #[test]
    fn wildcards_take_whole_labels() {
        let servers = servers(
            &[
                "default",
                "*.a.example",
                ".b.example",
                "c.*",
                r"~^d\D\.",
                "",
            ],
            0,
        );
        for (host, expected) in [
            ("a.example", 0),
            ("x.a.example", 1),
            ("x.y.a.example", 1),
            ("xa.example", 0),
            (".a.example", 1),
            (".b.example", 2),
            ("b.example", 2),
            ("x.b.example", 2),
            ("xb.example", 0),
            ("c.example", 3),
            ("c.example.org", 3),
            ("c", 0),
            ("c.", 0),
            ("cc.example", 0),
            ("dx.example", 4),
            ("d1.example", 0),
            ("", 5),
        ] {
            assert_eq!(chosen(&servers, host), expected, "{host}");
        }
    }

    #[test]
    fn the_default_server_is_independent_of_the_order() {
        let servers = servers(&["~^x", "A.example", "~x a.example"], 2);
        assert_eq!(
            ["other", "x", "a.example"].map(|host| chosen(&servers, host)),
            [2, 0, 1]
        );
    }

    #[test]
    fn names_that_nginx_rejects_are_rejected() {
        for text in [
            "*", "*.", "*a", "a.*.b", "*.a.*", "a*", "..a", "a..b", ".", ".*", "*.*", "~", "~(",
        ] {
            assert!(ServerName::parse(text).is_err(), "{text}");
        }
    }
}
