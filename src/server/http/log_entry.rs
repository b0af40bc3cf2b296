//! The access log lines of one request: some values are taken when it begins, others when its
//! response has been sent. A subscription is one request; it is logged when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::message::unix_now;
use crate::server::config::expression::VariableSnapshot;
use crate::server::config::expression::regex_pattern;
use crate::server::config::model::logs::{AccessLog, LogEscape};
use crate::server::config::{Expression, Variables, WebSettings};
use crate::server::exchange::variables;
use crate::server::fanout::{EndReason, Tap};
use crate::server::observe::access_log;
use crate::server::observe::access_log::MAX_HEADER_BYTES;

/// Status of a request whose client has closed the connection early, as in nginx.
const CLIENT_CLOSED: u16 = 499;

/// A part of a line.
enum LinePart {
    Text(Vec<u8>),
    /// Evaluated at the end of the request, with the values of its beginning.
    Deferred(Expression, VariableSnapshot),
}

/// The lines of a request, which are written on drop.
pub(in crate::server) struct LogEntry {
    lines: Vec<LogLine>,
    times: LogTimes,
    response: LoggedResponse,
    /// Bytes of the request: its head, and the part of the body that was read.
    request_bytes: u64,
    /// The body of the request, if a line needs it.
    body: Option<Bytes>,
    /// The location is one of nchan, where ends of subscriptions have other statuses.
    is_nchan: bool,
}

/// When a request and its connection have begun.
#[derive(Clone, Copy)]
pub(in crate::server) struct LogTimes {
    pub(in crate::server) began: Instant,
    pub(in crate::server) connection_opened: Option<Instant>,
}

struct LogLine {
    log: Arc<AccessLog>,
    /// `if=`: whether the line is written.
    condition: Option<LinePart>,
    parts: Vec<LinePart>,
}

/// The response to a logged request.
struct LoggedResponse {
    status: u16,
    /// Bytes of head and body.
    bytes: u64,
    /// The head, cut to [`MAX_HEADER_BYTES`].
    head: Vec<u8>,
    head_bytes: u64,
    is_complete: bool,
}

impl LogEntry {
    /// Begins the entry of a request; `None` if it is not logged.
    pub(in crate::server) fn begin(
        web: &WebSettings,
        variables: &dyn Variables,
        times: LogTimes,
        is_nchan: bool,
    ) -> Option<Box<Self>> {
        let lines: Vec<LogLine> = web
            .access_logs
            .iter()
            .filter_map(|log| prepare_line(log, variables))
            .collect();
        if lines.is_empty() {
            return None;
        }
        let request_bytes = variables
            .builtin("request_length")
            .and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok());
        let response = LoggedResponse {
            status: CLIENT_CLOSED,
            bytes: 0,
            head: Vec::new(),
            head_bytes: 0,
            is_complete: false,
        };
        let request_bytes = request_bytes.unwrap_or_default();
        Some(Box::new(Self {
            lines,
            times,
            response,
            request_bytes,
            body: None,
            is_nchan,
        }))
    }

    /// Bytes of heap memory.
    pub(in crate::server) fn own_bytes(&self) -> usize {
        let of = |part: &LinePart| {
            size_of::<LinePart>()
                + match part {
                    LinePart::Text(text) => text.capacity(),
                    LinePart::Deferred(_, snapshot) => snapshot.own_bytes(),
                }
        };
        self.lines
            .iter()
            .flat_map(|line| line.parts.iter().chain(&line.condition))
            .map(of)
            .sum()
    }

    /// Adds bytes of the body that were read.
    pub(in crate::server) fn add_received(&mut self, bytes: u64) {
        self.request_bytes += bytes;
    }

    /// Keeps the body, if a line needs it.
    pub(in crate::server) fn record_body(&mut self, body: &Bytes) {
        let mut parts = self
            .lines
            .iter()
            .flat_map(|line| line.parts.iter().chain(&line.condition));
        let uses_body = |part: &LinePart| match part {
            LinePart::Deferred(expression, _) => expression.uses("request_body"),
            LinePart::Text(_) => false,
        };
        if parts.any(uses_body) {
            self.body = Some(body.clone());
        }
    }

    /// Records a response: its head, and the length of its body.
    pub(in crate::server) fn record_response(&mut self, head: &[u8], body_bytes: u64) {
        self.response = LoggedResponse {
            status: parse_status(head).unwrap_or(CLIENT_CLOSED),
            bytes: head.len() as u64 + body_bytes,
            head: head[..head.len().min(MAX_HEADER_BYTES)].to_vec(),
            head_bytes: head.len() as u64,
            is_complete: true,
        };
    }

    /// Records that the connection is closed without a response.
    fn record_close(&mut self) {
        self.response.status = 444;
    }

    /// Records what a follower was sent, and how its subscription ended; `is_dropped` if the client
    /// has not received the end.
    pub(in crate::server) fn record_subscription(&mut self, tap: Tap, is_dropped: bool) {
        let ending_status = match tap.ending {
            Some(EndReason::TimeToLive) if self.is_nchan => Some(408),
            Some(EndReason::Deleted) if self.is_nchan => Some(410),
            Some(EndReason::Conflict) if self.is_nchan => Some(409),
            _ => None,
        };
        let sent_status = parse_status(&tap.head);
        let status = if is_dropped {
            CLIENT_CLOSED
        } else {
            ending_status.or(sent_status).unwrap_or(CLIENT_CLOSED)
        };
        let head_bytes = tap.head.len() as u64;
        self.response = LoggedResponse {
            status,
            bytes: tap.sent,
            head: tap.head,
            head_bytes,
            is_complete: !is_dropped,
        };
    }
}

/// Records a rendered response; an empty one means that the connection is closed without one.
pub(in crate::server) fn record_rendered(log: Option<&mut Box<LogEntry>>, bytes: &[u8]) {
    let Some(log) = log else { return };
    match memchr::memmem::find(bytes, b"\r\n\r\n") {
        Some(end) => log.record_response(&bytes[..end + 4], (bytes.len() - end - 4) as u64),
        None => log.record_close(),
    }
}

/// Reads the status of a rendered head.
fn parse_status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

/// Prepares a line; `None` if its condition is false already.
fn prepare_line(log: &Arc<AccessLog>, variables: &dyn Variables) -> Option<LogLine> {
    let condition = match &log.condition {
        Some(condition) if condition.depends_on_response() => Some(defer(condition, variables)),
        Some(condition)
            if regex_pattern::isolated(|| is_false(&condition.evaluate(variables))) == Ok(true) =>
        {
            return None;
        }
        _ => None,
    };
    let prepare = |part: &Expression| match part.as_literal() {
        Some(text) => LinePart::Text(text.to_vec()),
        None if part.depends_on_response() => defer(part, variables),
        None => {
            let is_known = part
                .as_builtin()
                .is_some_and(|name| variables.builtin(name).is_some());
            LinePart::Text(escape(
                &evaluate(part, variables),
                is_known,
                log.format.escape,
            ))
        }
    };
    Some(LogLine {
        log: Arc::clone(log),
        condition,
        parts: log.format.parts.iter().map(prepare).collect(),
    })
}

/// Evaluates a value. If a regular expression fails, only this value is empty: a client cannot
/// suppress its log line that way.
fn evaluate(expression: &Expression, variables: &dyn Variables) -> Vec<u8> {
    regex_pattern::isolated(|| expression.evaluate(variables).into_owned()).unwrap_or_default()
}

/// Prepares a value that depends on the response.
fn defer(expression: &Expression, variables: &dyn Variables) -> LinePart {
    let snapshot = regex_pattern::isolated(|| expression.snapshot(variables)).unwrap_or_default();
    LinePart::Deferred(expression.clone(), snapshot)
}

fn is_false(value: &[u8]) -> bool {
    matches!(value, b"" | b"0")
}

impl Drop for LogEntry {
    fn drop(&mut self) {
        for LogLine {
            log,
            condition,
            parts,
        } in std::mem::take(&mut self.lines)
        {
            let value = |expression: &Expression, snapshot: &VariableSnapshot| {
                regex_pattern::isolated(|| {
                    expression.evaluate_deferred(snapshot, &|name| self.value(name))
                })
            };
            if let Some(LinePart::Deferred(expression, snapshot)) = &condition
                && value(expression, snapshot).is_ok_and(|value| is_false(&value))
            {
                continue;
            }
            let mut text = Vec::new();
            for part in &parts {
                match part {
                    LinePart::Text(literal) => text.extend_from_slice(literal),
                    LinePart::Deferred(expression, snapshot) => {
                        let is_known = expression
                            .as_builtin()
                            .is_some_and(|name| self.value(name).is_some());
                        text.extend_from_slice(&escape(
                            &value(expression, snapshot).unwrap_or_default(),
                            is_known,
                            log.format.escape,
                        ));
                    }
                }
            }
            text.push(b'\n');
            access_log::enqueue(log, text);
        }
    }
}

impl LogEntry {
    /// Returns the value of a variable that depends on the response or on the time.
    fn value(&self, name: &str) -> Option<Vec<u8>> {
        let LoggedResponse {
            status,
            bytes,
            head,
            head_bytes,
            is_complete,
        } = &self.response;
        let text = match name {
            "status" => format!("{status:03}"),
            "bytes_sent" => bytes.to_string(),
            "body_bytes_sent" => bytes.saturating_sub(*head_bytes).to_string(),
            "request_completion" => if *is_complete { "OK" } else { "" }.to_owned(),
            "request_body" => return self.body.as_ref().map(|body| body.to_vec()),
            "request_length" => self.request_bytes.to_string(),
            "request_time" => format_seconds(self.times.began.elapsed()),
            "connection_time" => format_seconds(
                self.times
                    .connection_opened
                    .map(|opened| opened.elapsed())
                    .unwrap_or_default(),
            ),
            "msec" => variables::milliseconds(),
            "time_local" => variables::local_time(unix_now()),
            "time_iso8601" => format!(
                "{}+00:00",
                crate::server::exchange::iso_time::iso_time(unix_now())
            ),
            name => return find_header(head, name.strip_prefix("sent_http_")?).map(<[u8]>::to_vec),
        };
        Some(text.into_bytes())
    }
}

/// Formats a duration as nginx does: seconds with milliseconds.
fn format_seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// Finds a header of a response by the name of its variable, which has `_` for `-`.
fn find_header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let is_same =
        |(one, other): (u8, u8)| one.eq_ignore_ascii_case(&other) || (one, other) == (b'-', b'_');
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (known, value) = line.split_at(memchr::memchr(b':', line)?);
        let is_it =
            known.len() == name.len() && known.iter().copied().zip(name.bytes()).all(is_same);
        is_it.then(|| value[1..].trim_ascii())
    })
}

/// Escapes a value. An unknown value is written as `-`, a known empty one as an empty string.
fn escape(value: &[u8], is_known: bool, escape: LogEscape) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    match escape {
        LogEscape::None => out.extend_from_slice(value),
        LogEscape::Default if value.is_empty() && !is_known => out.push(b'-'),
        LogEscape::Default => {
            for byte in value {
                match byte {
                    b'"' | b'\\' | ..0x20 | 0x7f.. => {
                        out.extend_from_slice(format!("\\x{byte:02X}").as_bytes())
                    }
                    byte => out.push(*byte),
                }
            }
        }
        LogEscape::Json => {
            for byte in value {
                match byte {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\r' => out.extend_from_slice(b"\\r"),
                    b'\t' => out.extend_from_slice(b"\\t"),
                    ..0x20 => out.extend_from_slice(format!("\\u{byte:04X}").as_bytes()),
                    byte => out.push(*byte),
                }
            }
        }
    }
    out
}
