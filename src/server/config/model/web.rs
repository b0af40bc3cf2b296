//! Settings of nginx's core modules for a location: access control, added headers, files, access
//! logs.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

pub use super::clients::{Clients, RealIp, RealIpHeader};
pub use super::logs::{AccessLog, LogEscape, LogFormat};
use crate::server::config::{Expression, SecureLink, Variables};

/// Settings that apply to all responses of a location, whatever its endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSettings {
    /// `add_header`
    pub added_headers: Vec<AddedHeader>,
    /// `allow` and `deny`, in the order of the file.
    pub access: Vec<AccessRule>,
    /// `satisfy any`
    pub satisfy_any: bool,
    /// `auth_basic`; `None` = off.
    pub authentication: Option<Arc<Authentication>>,
    /// `internal`: only internal redirects may access the location.
    pub internal: bool,
    /// The front server enforces `internal`: requests that it forwards may access the location,
    /// too.
    pub internal_from_front: bool,
    /// Access to content (push, files, back-ends) if the configuration has directives that pushctl
    /// does not enforce.
    pub content_gate: Gate,
    /// Access to the response of a `return` in that case.
    pub answer_gate: Gate,
    /// `root` or `alias`; `None` = no files are served.
    pub root: Option<Root>,
    /// `index`
    pub index: Vec<Expression>,
    /// `access_log`; empty = off.
    pub access_logs: Vec<Arc<AccessLog>>,
    /// `set_real_ip_from` and related directives; `None` = the client is the TCP peer.
    pub real_ip: Option<Arc<RealIp>>,
    /// `limit_except`: access control for other methods.
    pub limit_except: Option<Arc<LimitExcept>>,
    /// `keepalive_requests`: number of requests after which a connection is closed; `None` =
    /// unlimited.
    pub keepalive_requests: Option<u64>,
    /// `etag off`: files are sent without `ETag`.
    pub without_etag: bool,
    /// `chunked_transfer_encoding off`: responses of unknown length end with their connection.
    pub without_chunks: bool,
    /// `if_modified_since`
    pub unmodified: IfModifiedSince,
    /// `max_ranges`; `None` = unlimited, 0 = range requests are ignored.
    pub max_ranges: Option<u64>,
    /// `secure_link`
    pub secure_link: Option<Arc<SecureLink>>,
    /// `auth_request`; `None` = off.
    pub auth_request: Option<Arc<AuthRequest>>,
}

/// `auth_request` and `auth_request_set`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRequest {
    /// Path of the location that decides about requests, as it was written.
    pub uri: Bytes,
    /// `auth_request_set`: numbers of variables with their values.
    pub variables: Vec<(usize, Expression)>,
}

/// Access to a location whose configuration has directives that pushctl does not enforce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// For every client: there are no such directives.
    #[default]
    Open,
    /// For the front server, which enforces them: a peer that is trusted to set the client address.
    Front,
    /// For no client.
    Closed,
}

/// `limit_except`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitExcept {
    /// Methods that are not restricted.
    pub methods: Vec<&'static str>,
    /// Access control for all other methods.
    pub web: Arc<WebSettings>,
}

/// `if_modified_since`: the dates of a client for which the response is 304.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfModifiedSince {
    /// No date.
    Never,
    /// The date of the file.
    #[default]
    Exact,
    /// The date of the file and later dates.
    Before,
}

/// A header of `add_header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedHeader {
    /// The name.
    pub name: Bytes,
    /// The value; the header is not sent if the value is empty.
    pub value: Expression,
    /// Also added to error responses.
    pub always: bool,
}

/// An `allow` or `deny` rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// `allow`
    pub allows: bool,
    /// The clients to which it applies.
    pub clients: Clients,
}

/// `auth_basic` with `auth_basic_user_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// The realm, which browsers show.
    pub realm: Expression,
    /// The file with users and password hashes.
    pub users: PathBuf,
}

/// `root` or `alias`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The directory, or the replacement for the prefix of the location (`alias`).
    pub path: Expression,
    /// Base of relative paths.
    pub base: PathBuf,
    /// With `alias`: length of the replaced prefix of the request path; `None` = the alias is the
    /// whole path.
    pub alias: Option<Option<usize>>,
}

impl Root {
    /// Returns the directory: `$document_root`.
    #[must_use]
    pub fn directory(&self, variables: &dyn Variables) -> PathBuf {
        self.base
            .join(OsStr::from_bytes(&self.path.evaluate(variables)))
    }

    /// Returns the file for the normalised `path` of a request: `$request_filename`.
    #[must_use]
    pub fn file(&self, path: &[u8], variables: &dyn Variables) -> PathBuf {
        let rest = match self.alias {
            None => path,
            Some(Some(length)) => path.get(length..).unwrap_or_default(),
            Some(None) => b"",
        };
        // `Path::join` would replace the directory if the rest begins with a slash.
        let mut file = self.directory(variables).into_os_string();
        file.push(OsStr::from_bytes(rest));
        file.into()
    }
}

impl WebSettings {
    /// Returns the settings of `limit_except` if they apply to this method.
    #[must_use]
    pub fn limited(&self, method: &str) -> Option<&WebSettings> {
        self.limit_except
            .as_ref()
            .filter(|limit| !limit.methods.contains(&method))
            .map(|limit| &*limit.web)
    }

    /// Whether there are rules about clients, passwords or `auth_request`.
    #[must_use]
    pub fn has_access_rules(&self) -> bool {
        !self.access.is_empty() || self.authentication.is_some() || self.auth_request.is_some()
    }

    /// Whether the rules allow a client; `None` = no rule applies.
    #[must_use]
    pub fn allows(&self, remote_address: &str) -> Option<bool> {
        if self.access.is_empty() {
            return None;
        }
        let address: Option<IpAddr> = remote_address.parse().ok();
        // Rules for IPv4 apply to IPv4 clients of an IPv6 socket.
        let address = address.map(|address| address.to_canonical());
        self.access
            .iter()
            .find(|rule| rule.clients.include(address))
            .map(|rule| rule.allows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_rule_decides() {
        let rule = |allows, clients: &str| AccessRule {
            allows,
            clients: match clients {
                "all" => Clients::All,
                "unix:" => Clients::Unix,
                network => Clients::Network(network.parse().expect("a network")),
            },
        };
        let rules = vec![
            rule(false, "10.0.0.1/32"),
            rule(true, "10.0.0.0/8"),
            rule(true, "2001:db8::/32"),
            rule(true, "unix:"),
        ];
        let mut web = WebSettings {
            access: rules,
            ..WebSettings::default()
        };
        for (client, expected) in [
            ("10.0.0.1", Some(false)),
            ("10.0.0.2", Some(true)),
            ("::ffff:10.0.0.1", Some(false)),
            ("2001:db8::1", Some(true)),
            ("2001:db9::1", None),
            ("unix:", Some(true)),
        ] {
            assert_eq!(web.allows(client), expected, "{client}");
        }
        web.access.push(rule(false, "all"));
        assert_eq!(
            (
                web.allows("192.0.2.1"),
                WebSettings::default().allows("192.0.2.1")
            ),
            (Some(false), None)
        );
    }
}
