//! `error_log`, and the `syslog:` of logs.

use std::ffi::OsStr;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;

use super::levels::Scope;
use super::rule::{Effect, HTTP, LOCATION, MAIN, Rule, SERVER, Value, rule_of};
use crate::server::config::model::logs::{ErrorLog, LogTarget, Syslog, SyslogAddress};

pub(in crate::server) static DIRECTIVES: &[Rule] = &[rule_of(
    "error_log",
    MAIN | HTTP | SERVER | LOCATION,
    1..=usize::MAX,
    Effect::Many(error_log),
)];

/// Default port of syslog.
const SYSLOG_PORT: u16 = 514;
/// Maximum length of a tag.
const MAX_TAG_BYTES: usize = 32;
/// Names of facilities, by number; 15 has none.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv",
    "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
/// Names of severities, by number.
const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug",
];

fn error_log(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let mut level = LevelFilter::ERROR;
    for word in &value.arguments[1..] {
        level = match word.as_slice() {
            b"emerg" | b"alert" | b"crit" | b"error" => LevelFilter::ERROR,
            b"warn" => LevelFilter::WARN,
            b"notice" | b"info" => LevelFilter::INFO,
            word if word.starts_with(b"debug") => LevelFilter::DEBUG,
            word => {
                return Err(format!(
                    "invalid log level \"{}\"",
                    String::from_utf8_lossy(word)
                ));
            }
        };
    }
    let target = match value.first() {
        b"stderr" => LogTarget::Stderr,
        text if text.starts_with(b"memory:") => {
            scope.notices.push(format!(
                "\"error_log {}\" is not supported by pushctl: logs go to files, stderr and syslog",
                value.shown()
            ));
            return Ok(());
        }
        text => match text.strip_prefix(b"syslog:") {
            Some(parameters) => LogTarget::Syslog(syslog(parameters)?),
            None => LogTarget::File(value.base.join(OsStr::from_bytes(text))),
        },
    };
    scope.error_logs.push(ErrorLog { target, level });
    Ok(())
}

/// Parses the parameters after `syslog:`.
pub(in crate::server) fn syslog(parameters: &[u8]) -> Result<Arc<Syslog>, String> {
    let text =
        std::str::from_utf8(parameters).map_err(|_| "\"syslog:\" is not UTF-8".to_owned())?;
    let number = |names: &[&str], name: &str| {
        names
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))
            .and_then(|at| u8::try_from(at).ok())
    };
    let (mut address, mut facility, mut severity, mut tag, mut has_hostname) =
        (None, 23, 6, "nginx".to_owned(), true);
    for parameter in text.split(',') {
        match parameter.split_once('=') {
            Some(("server", server)) if address.is_some() => {
                return Err(format!("duplicate syslog \"server\": {server}"));
            }
            Some(("server", server)) => address = Some(syslog_address(server)?),
            Some(("facility", name)) => {
                facility = number(&FACILITIES, name)
                    .ok_or_else(|| format!("unknown syslog facility \"{name}\""))?
            }
            Some(("severity", name)) => {
                severity = number(&SEVERITIES, name)
                    .ok_or_else(|| format!("unknown syslog severity \"{name}\""))?
            }
            Some(("tag", name)) if name.len() > MAX_TAG_BYTES => {
                return Err(format!("syslog tag length exceeds {MAX_TAG_BYTES}"));
            }
            Some(("tag", name))
                if !name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') =>
            {
                return Err(
                    "syslog \"tag\" only allows alphanumeric characters and underscore".to_owned(),
                );
            }
            Some(("tag", name)) => tag = name.to_owned(),
            None if parameter == "nohostname" => has_hostname = false,
            _ => return Err(format!("unknown syslog parameter \"{parameter}\"")),
        }
    }
    let address = address.ok_or("no syslog server specified")?;
    Ok(Arc::new(Syslog {
        address,
        facility,
        severity,
        tag,
        has_hostname,
    }))
}

/// Parses a path, an address, or a host name, which is resolved now.
fn syslog_address(server: &str) -> Result<SyslogAddress, String> {
    if let Some(path) = server.strip_prefix("unix:") {
        return if path.is_empty() {
            Err("no path in the unix domain socket in syslog server".to_owned())
        } else {
            Ok(SyslogAddress::Unix(path.into()))
        };
    }
    let bare = server
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(server);
    let known = bare
        .parse()
        .map(|address| SocketAddr::new(address, SYSLOG_PORT))
        .or_else(|_| server.parse::<SocketAddr>());
    if let Ok(address) = known {
        return Ok(SyslogAddress::Udp(address));
    }
    let not_found = || format!("host not found in syslog server \"{server}\"");
    if cfg!(fuzzing) {
        // A fuzzer must not query name servers.
        return Err(not_found());
    }
    let with_port = if server.contains(':') {
        server.to_owned()
    } else {
        format!("{server}:{SYSLOG_PORT}")
    };
    let address = with_port
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next());
    address.map(SyslogAddress::Udp).ok_or_else(not_found)
}
