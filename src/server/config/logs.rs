//! Where logs go: `access_log`, `error_log`, and their `syslog:`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;

/// Where lines of a log go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogTarget {
    /// To the end of a file; `/dev/stdout` and `/dev/stderr` are possible.
    File(PathBuf),
    /// To stderr.
    Stderr,
    /// To a syslog.
    Syslog(Arc<Syslog>),
}

/// `error_log`: events of this level and above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorLog {
    /// Where to.
    pub target: LogTarget,
    /// From which level on.
    pub level: LevelFilter,
}

/// A syslog (RFC 3164), as nginx's `syslog:` names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Syslog {
    /// `server=`
    pub address: SyslogAddress,
    /// `facility=`, as its number.
    pub facility: u8,
    /// `severity=`, as its number; errors have their own.
    pub severity: u8,
    /// `tag=`
    pub tag: String,
    /// Lines have the name of this machine: not `nohostname`.
    pub has_hostname: bool,
}

/// Where a syslog listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SyslogAddress {
    /// On UDP.
    Udp(SocketAddr),
    /// On a unix socket for datagrams.
    Unix(PathBuf),
}
