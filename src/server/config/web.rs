//! What nginx does around an endpoint, by location: who may enter, which headers are added, which
//! files are served, where requests are logged.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ipnet::IpNet;

use super::{Expression, LogTarget, SecureLink, Variables};

/// Settings of a location that hold for everything that it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSettings {
    /// `add_header`
    pub added_headers: Vec<AddedHeader>,
    /// `allow` and `deny`, in their order.
    pub access: Vec<AccessRule>,
    /// `satisfy any`
    pub satisfy_any: bool,
    /// `auth_basic`; `None` = off.
    pub authentication: Option<Arc<Authentication>>,
    /// `internal`: only requests that were redirected may enter.
    pub internal: bool,
    /// The front enforces `internal`: requests that it forwards may enter, too.
    pub internal_from_front: bool,
    /// Who may get content (push, files, back-ends) in spite of directives that pushctl does not
    /// enforce.
    pub content_gate: Gate,
    /// Who may get what `return` answers.
    pub answer_gate: Gate,
    /// `root` or `alias`; `None` = no files are served.
    pub root: Option<Root>,
    /// `index`
    pub index: Vec<Expression>,
    /// `access_log`; empty = off.
    pub access_logs: Vec<Arc<AccessLog>>,
    /// `set_real_ip_from` and what belongs to it; `None` = clients are who connects.
    pub real_ip: Option<Arc<RealIp>>,
    /// `limit_except`: who may enter with other methods.
    pub limit_except: Option<Arc<LimitExcept>>,
    /// `keepalive_requests`: a connection ends with this request; `None` = it does not end by their
    /// number.
    pub keepalive_requests: Option<u64>,
    /// `etag off`: files have none.
    pub without_etag: bool,
    /// `chunked_transfer_encoding off`: answers of unknown length end with their connection.
    pub without_chunks: bool,
    /// `if_modified_since`
    pub unmodified: IfModifiedSince,
    /// `max_ranges`; `None` = unlimited, 0 = files are sent as a whole.
    pub max_ranges: Option<u64>,
    /// `secure_link`
    pub secure_link: Option<Arc<SecureLink>>,
    /// `auth_request`; `None` = off.
    pub auth_request: Option<Arc<AuthRequest>>,
}

/// `auth_request` and `auth_request_set`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRequest {
    /// The path of the location that decides, as it was written.
    pub uri: Bytes,
    /// Variables by number, and what they become.
    pub variables: Vec<(usize, Expression)>,
}

/// Who may enter a location in spite of directives that pushctl does not enforce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// Every client; there are no such directives.
    #[default]
    Open,
    /// The front, which enforces them: a peer that is trusted to name its clients.
    Front,
    /// No client.
    Closed,
}

/// Which proxies are believed when they say for whom they ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealIp {
    /// `set_real_ip_from`
    pub trusted: Vec<Clients>,
    /// `real_ip_header`
    pub header: RealIpHeader,
    /// `real_ip_recursive`: proxies behind proxies.
    pub recursive: bool,
}

/// `real_ip_header`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealIpHeader {
    /// `X-Forwarded-For`, all of them as one list.
    ForwardedFor,
    /// The first header of that name, in lower case.
    Named(String),
}

impl RealIp {
    /// Believes these about `X-Real-IP`.
    #[must_use]
    pub fn from_x_real_ip(trusted: Vec<Clients>) -> Self {
        Self {
            trusted,
            header: RealIpHeader::Named("x-real-ip".to_owned()),
            recursive: false,
        }
    }

    /// Whether the client with this address, or `unix:`, is believed.
    #[must_use]
    pub fn trusts(&self, address: &str) -> bool {
        let address = address
            .parse()
            .ok()
            .map(|address: IpAddr| address.to_canonical());
        self.trusted.iter().any(|clients| clients.include(address))
    }
}

/// `limit_except`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitExcept {
    /// Methods that it does not mean.
    pub methods: Vec<&'static str>,
    /// Who may enter with all others.
    pub web: Arc<WebSettings>,
}

/// `if_modified_since`: which date of a client makes the answer 304.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfModifiedSince {
    /// None.
    Never,
    /// That of the file.
    #[default]
    Exact,
    /// That of the file and later ones.
    Before,
}

/// A header of `add_header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedHeader {
    /// Its name.
    pub name: Bytes,
    /// Its value; it is left out if that is empty.
    pub value: Expression,
    /// Also with errors.
    pub always: bool,
}

/// `allow` or `deny`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// `allow`
    pub allows: bool,
    /// Whom it means.
    pub clients: Clients,
}

/// Whom a rule means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// `all`
    All,
    /// `unix:`
    Unix,
    /// An address or network.
    Network(IpNet),
}

impl fmt::Display for Clients {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clients::All => out.write_str("all"),
            Clients::Unix => out.write_str("unix:"),
            Clients::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(out)
            }
            Clients::Network(network) => network.fmt(out),
        }
    }
}

impl Clients {
    /// Whom `all`, `unix:`, an address or a network means.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => return Some(Clients::All),
            "unix:" => return Some(Clients::Unix),
            _ => {}
        }
        let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
        // nginx accepts bits behind the mask and ignores them.
        text.parse::<IpNet>()
            .ok()
            .or_else(address)
            .map(|network| Clients::Network(network.trunc()))
    }

    /// Whether they include a client; one without an address came through a unix socket.
    #[must_use]
    pub fn include(&self, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Clients::All, _) | (Clients::Unix, None) => true,
            (Clients::Network(network), Some(address)) => network.contains(&address),
            _ => false,
        }
    }
}

/// `auth_basic` with `auth_basic_user_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// What the client is shown.
    pub realm: Expression,
    /// The file of users and hashes.
    pub users: PathBuf,
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The directory, or with `alias` what stands for the location.
    pub path: Expression,
    /// Relative paths begin here.
    pub base: PathBuf,
    /// With `alias`: what is taken from the front of the request's path; `None` = the alias is the
    /// whole path.
    pub alias: Option<Option<usize>>,
}

impl Root {
    /// The directory: `$document_root`.
    #[must_use]
    pub fn directory(&self, variables: &dyn Variables) -> PathBuf {
        self.base
            .join(OsStr::from_bytes(&self.path.evaluate(variables)))
    }

    /// The file of a request for the normalised `path`: `$request_filename`.
    #[must_use]
    pub fn file(&self, path: &[u8], variables: &dyn Variables) -> PathBuf {
        let rest = match self.alias {
            None => path,
            Some(Some(length)) => path.get(length..).unwrap_or_default(),
            Some(None) => b"",
        };
        // Not `Path::join`: the rest may begin with a slash.
        let mut file = self.directory(variables).into_os_string();
        file.push(OsStr::from_bytes(rest));
        file.into()
    }
}

/// A log of requests.
#[derive(Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where to.
    pub target: LogTarget,
    /// What a line looks like.
    pub format: Arc<LogFormat>,
    /// `if=`: requests for which it is empty or `0` are not logged.
    pub condition: Option<Expression>,
}

/// `log_format`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormat {
    /// Texts and variables in their order.
    pub parts: Vec<Expression>,
    /// How values are made harmless.
    pub escape: LogEscape,
}

/// How values of a log are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEscape {
    /// `\xHH` for quotes, backslashes, control and non-ASCII bytes; `-` for nothing.
    Default,
    /// As in a JSON string.
    Json,
    /// Not at all.
    None,
}

impl WebSettings {
    /// `limit_except`, if it takes requests with this method out of their location.
    #[must_use]
    pub fn limited(&self, method: &str) -> Option<&WebSettings> {
        self.limit_except
            .as_ref()
            .filter(|limit| !limit.methods.contains(&method))
            .map(|limit| &*limit.web)
    }

    /// Whether the rules let a client in; `None` = none of them says.
    #[must_use]
    pub fn allows(&self, remote_address: &str) -> Option<bool> {
        if self.access.is_empty() {
            return None;
        }
        let address: Option<IpAddr> = remote_address.parse().ok();
        // A client of IPv4 at an IPv6 socket is meant by the rules for IPv4.
        let address = address.map(|address| address.to_canonical());
        self.access
            .iter()
            .find(|rule| rule.clients.include(address))
            .map(|rule| rule.allows)
    }

    /// The header lines that are added to an answer: those of good ones, and those of all.
    #[must_use]
    pub fn added(&self, variables: &dyn Variables) -> AddedHeaders {
        let [mut good, mut any] = [const { Vec::new() }; 2];
        for header in &self.added_headers {
            let value = header.value.evaluate(variables);
            if value.is_empty() {
                continue;
            }
            let lines = if header.always {
                [Some(&mut good), Some(&mut any)]
            } else {
                [Some(&mut good), None]
            };
            for out in lines.into_iter().flatten() {
                out.extend_from_slice(&header.name);
                out.extend_from_slice(b": ");
                // What came from the request must not add headers of its own.
                out.extend(
                    value
                        .iter()
                        .filter(|byte| **byte >= b' ' || **byte == b'\t'),
                );
                out.extend_from_slice(b"\r\n");
            }
        }
        AddedHeaders {
            good: good.into(),
            any: any.into(),
        }
    }
}

/// Header lines that are added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedHeaders {
    /// To answers with the statuses of [`AddedHeaders::of`].
    pub good: Cow<'static, [u8]>,
    /// To all others.
    pub any: Cow<'static, [u8]>,
}

impl AddedHeaders {
    /// The same lines for all answers.
    #[must_use]
    pub fn to_all(lines: impl Into<Cow<'static, [u8]>>) -> Self {
        let good = lines.into();
        Self {
            any: good.clone(),
            good,
        }
    }

    /// The lines for an answer with this status, as nginx chooses.
    #[must_use]
    pub fn of(&self, status: u16) -> &[u8] {
        match status {
            200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308 => &self.good,
            _ => &self.any,
        }
    }

    /// There is nothing to add.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.good.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
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
