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
use crate::server::exchange::response::{Status, header_pairs};
use crate::server::exchange::variables;
use crate::server::fanout::{EndReason, Tap};
use crate::server::http::h1::response;
use crate::server::observe::access_log;
use crate::server::observe::access_log::MAX_HEADER_BYTES;

/// Status of a request whose client has closed the connection early, as in nginx.
const CLIENT_CLOSED: u16 = 499;
/// Status of a request whose connection is closed without a response, as in nginx.
const NO_RESPONSE: u16 = 444;
/// Typical length of a line in bytes.
const USUAL_LINE_BYTES: usize = 256;

/// The lines of a request, which are written on drop.
pub(in crate::server) struct LogEntry {
    lines: Vec<LogLine>,
    start: RequestStart,
    response: LoggedResponse,
    /// Bytes of the body that were read.
    received: u64,
    /// The body of the request, if a line needs it.
    body: Option<Bytes>,
    /// The location is one of nchan, where ends of subscriptions have other statuses.
    is_nchan: bool,
}

/// The start of a logged request.
#[derive(Clone, Copy)]
pub(in crate::server) struct RequestStart {
    pub(in crate::server) began: Instant,
    pub(in crate::server) connection_opened: Option<Instant>,
    /// Length of the head.
    pub(in crate::server) head_bytes: usize,
}

/// A line without the values that are known at the end of the request.
struct LogLine {
    log: Arc<AccessLog>,
    /// `if=`: values of the request for the condition that decides whether the line is written, if
    /// it depends on the response.
    condition: Option<VariableSnapshot>,
    text: Vec<u8>,
    deferred: Vec<DeferredPart>,
}

/// A part of a line that is evaluated at the end of the request.
struct DeferredPart {
    /// Where its value is inserted in the text.
    at: usize,
    /// Its number in the format.
    part: usize,
    /// Values of the request that it needs.
    snapshot: VariableSnapshot,
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
        start: RequestStart,
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
        let response = LoggedResponse {
            status: CLIENT_CLOSED,
            bytes: 0,
            head: Vec::new(),
            head_bytes: 0,
            is_complete: false,
        };
        Some(Box::new(Self {
            lines,
            start,
            response,
            received: 0,
            body: None,
            is_nchan,
        }))
    }

    /// Bytes of heap memory.
    pub(in crate::server) fn own_bytes(&self) -> usize {
        let snapshots = |line: &LogLine| {
            let deferred = line.deferred.iter().map(|part| &part.snapshot);
            let snapshots = deferred.chain(&line.condition);
            snapshots.map(VariableSnapshot::own_bytes).sum::<usize>()
        };
        self.lines
            .iter()
            .map(|line| {
                size_of::<LogLine>()
                    + line.text.capacity()
                    + size_of_val(&line.deferred[..])
                    + snapshots(line)
            })
            .sum()
    }

    /// Adds bytes of the body that were read.
    pub(in crate::server) fn add_received(&mut self, bytes: u64) {
        self.received += bytes;
    }

    /// Keeps the body, if there is one and a line needs it.
    pub(in crate::server) fn record_body(&mut self, body: &Bytes) {
        if !body.is_empty() && self.lines.iter().any(|line| line.uses("request_body")) {
            self.body = Some(body.clone());
        }
    }

    /// Records that the connection is closed without a response.
    pub(in crate::server) fn record_no_response(&mut self) {
        self.response.status = NO_RESPONSE;
    }

    /// Records the response: its head as it was written, and the number of bytes of both head and
    /// body.
    pub(in crate::server) fn record_response(&mut self, status: Status, head: &[u8], sent: u64) {
        self.response = LoggedResponse {
            status: status.0,
            bytes: sent,
            head: head[..head.len().min(MAX_HEADER_BYTES)].to_vec(),
            head_bytes: head.len() as u64,
            is_complete: true,
        };
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
        let sent_status = response::read_status(&tap.head).map(|status| status.0);
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

/// Prepares a line; `None` if its condition is false already.
fn prepare_line(log: &Arc<AccessLog>, variables: &dyn Variables) -> Option<LogLine> {
    let condition = match &log.condition {
        Some(condition) if condition.depends_on_response() => Some(save(condition, variables)),
        Some(condition)
            if regex_pattern::isolated(|| is_false(&condition.evaluate(variables))) == Ok(true) =>
        {
            return None;
        }
        _ => None,
    };
    let mut text = Vec::with_capacity(USUAL_LINE_BYTES);
    let mut deferred = Vec::new();
    for (number, part) in log.format.parts.iter().enumerate() {
        if let Some(literal) = part.value.as_literal() {
            text.extend_from_slice(literal);
        } else if part.is_deferred() {
            deferred.push(DeferredPart {
                at: text.len(),
                part: number,
                snapshot: save(&part.value, variables),
            });
        } else {
            // If a regular expression fails, only this value is empty: a client cannot suppress its
            // log line that way.
            let value = match part.value.as_builtin() {
                Some(name) => regex_pattern::isolated(|| variables.builtin(name)),
                None => regex_pattern::isolated(|| Some(part.value.evaluate(variables))),
            };
            let value = value.unwrap_or_default();
            let is_known = part.value.as_builtin().is_some() && value.is_some();
            let value = value.unwrap_or_default();
            push_escaped(&value, is_known, log.format.escape, &mut text);
        }
    }
    Some(LogLine {
        log: Arc::clone(log),
        condition,
        text,
        deferred,
    })
}

/// Saves the values of the request for an expression that depends on the response.
fn save(expression: &Expression, variables: &dyn Variables) -> VariableSnapshot {
    regex_pattern::isolated(|| expression.snapshot(variables)).unwrap_or_default()
}

fn is_false(value: &[u8]) -> bool {
    matches!(value, b"" | b"0")
}

impl LogLine {
    /// Returns whether a value at the end of the request depends on this variable.
    fn uses(&self, name: &str) -> bool {
        let deferred = self.deferred.iter();
        let condition = self
            .log
            .condition
            .iter()
            .filter(|_| self.condition.is_some());
        deferred
            .map(|part| &self.log.format.parts[part.part].value)
            .chain(condition)
            .any(|expression| expression.uses(name))
    }

    /// Completes the line with the values of the end of the request; `None` if it is not written.
    fn complete(&self, response_value: &dyn Fn(&str) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        let evaluate = |expression: &Expression, snapshot: &VariableSnapshot| {
            regex_pattern::isolated(|| expression.evaluate_deferred(snapshot, response_value))
        };
        if let (Some(condition), Some(snapshot)) = (&self.log.condition, &self.condition)
            && evaluate(condition, snapshot).is_ok_and(|value| is_false(&value))
        {
            return None;
        }
        let mut line = Vec::with_capacity(self.text.len() + USUAL_LINE_BYTES / 2);
        let mut copied = 0;
        for DeferredPart { at, part, snapshot } in &self.deferred {
            line.extend_from_slice(&self.text[copied..*at]);
            copied = *at;
            let expression = &self.log.format.parts[*part].value;
            let value = match expression.as_builtin() {
                Some(name) => response_value(name),
                None => None,
            };
            let is_known = value.is_some();
            let value = match value {
                Some(value) => value,
                None => evaluate(expression, snapshot).unwrap_or_default(),
            };
            push_escaped(&value, is_known, self.log.format.escape, &mut line);
        }
        line.extend_from_slice(&self.text[copied..]);
        line.push(b'\n');
        Some(line)
    }
}

impl Drop for LogEntry {
    fn drop(&mut self) {
        for line in &self.lines {
            if let Some(text) = line.complete(&|name| self.value(name)) {
                access_log::enqueue(Arc::clone(&line.log), text);
            }
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
            "request_length" => (self.start.head_bytes as u64 + self.received).to_string(),
            "request_time" => format_seconds(self.start.began.elapsed()),
            "connection_time" => format_seconds(
                self.start
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
    header_pairs(response::header_lines(head)).find_map(|(known, value)| {
        let is_it =
            known.len() == name.len() && known.iter().copied().zip(name.bytes()).all(is_same);
        is_it.then_some(value)
    })
}

/// Appends a value, escaped. An unknown value is written as `-`, a known empty one as an empty
/// string.
fn push_escaped(value: &[u8], is_known: bool, escape: LogEscape, out: &mut Vec<u8>) {
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
}
