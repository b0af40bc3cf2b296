//! Targets of `access_log` and `error_log`, including `syslog:`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;

use crate::server::config::Expression;

/// Target of a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogTarget {
    /// A file, to which lines are appended; also `/dev/stdout` and `/dev/stderr`.
    File(PathBuf),
    /// The standard error stream.
    Stderr,
    /// A syslog server.
    Syslog(Arc<Syslog>),
}

/// `error_log`: events of this level and above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorLog {
    /// The target.
    pub target: LogTarget,
    /// The lowest logged severity.
    pub level: LevelFilter,
}

/// `access_log`
#[derive(Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// The target.
    pub target: LogTarget,
    /// The format of its lines.
    pub format: Arc<LogFormat>,
    /// `if=`: requests for which the value is empty or `0` are not logged.
    pub condition: Option<Expression>,
}

/// `log_format`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormat {
    /// Texts and variables in the order of the file.
    pub parts: Vec<LogPart>,
    /// `escape=`
    pub escape: LogEscape,
}

/// A text or a variable of a log format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPart {
    /// Its value.
    pub value: Expression,
    /// [`LogPart::is_deferred`] of a built-in variable, for which it takes a search.
    is_deferred: Option<bool>,
}

impl LogFormat {
    /// Creates the format of this text.
    #[must_use]
    pub fn new(text: Expression, escape: LogEscape) -> Self {
        Self {
            parts: text.split().into_iter().map(LogPart::new).collect(),
            escape,
        }
    }
}

impl LogPart {
    fn new(value: Expression) -> Self {
        let is_builtin = value.as_builtin().is_some();
        Self {
            is_deferred: is_builtin.then(|| value.depends_on_response()),
            value,
        }
    }

    /// Whether the value is known only after the response was sent.
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        // Of maps it is known when the whole configuration is read.
        self.is_deferred
            .unwrap_or_else(|| self.value.depends_on_response())
    }
}

/// How values of variables are escaped in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEscape {
    /// `\xHH` for quotes, backslashes, control and non-ASCII bytes; `-` for an empty value.
    Default,
    /// As in a JSON string.
    Json,
    /// No escaping.
    None,
}

/// A syslog server (RFC 3164) and the properties of its lines: nginx's `syslog:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Syslog {
    /// `server=`
    pub address: SyslogAddress,
    /// `facility=`, as its number.
    pub facility: u8,
    /// `severity=`, as its number; not used for `error_log`, whose lines have their own severity.
    pub severity: u8,
    /// `tag=`
    pub tag: String,
    /// Lines contain the host name: `nohostname` is not set.
    pub has_hostname: bool,
}

/// Address of a syslog server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SyslogAddress {
    /// A UDP address.
    Udp(SocketAddr),
    /// The path of a unix datagram socket.
    Unix(PathBuf),
}
