//! The lines of one request for the access logs: what is known of it at its beginning, and what its
//! answer adds.
//!
//! A subscription is one request. It is logged when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::access_log::{self, MAX_HEADER_BYTES};
use crate::message::unix_now;
use crate::server::config::expression::VariableSnapshot;
use crate::server::config::regex_pattern;
use crate::server::config::web::{AccessLog, LogEscape};
use crate::server::config::{Expression, Variables, WebSettings};
use crate::server::fanout::{EndReason, Tap};
use crate::server::request;

/// The status of a request whose client left before the end, as in nginx.
const CLIENT_LEFT: u16 = 499;

/// A piece of a line.
enum Piece {
    Text(Vec<u8>),
    /// The value is known at the end.
    AtEnd(Expression, VariableSnapshot),
}

/// The lines of a request; they are written when this is dropped.
pub(super) struct Entry {
    lines: Vec<Line>,
    begin: Instant,
    connection_opened: Option<Instant>,
    answer: LoggedResponse,
    /// Bytes of the request: its head, and what was read of its body.
    request_bytes: u64,
    /// The body of the request, where a line has it.
    body: Option<Bytes>,
    /// The location is one of nchan: its endings have other statuses.
    is_nchan: bool,
}

struct Line {
    log: Arc<AccessLog>,
    /// What decides whether it is written.
    condition: Option<Piece>,
    pieces: Vec<Piece>,
}

/// What was sent.
struct LoggedResponse {
    status: u16,
    /// All bytes.
    bytes: u64,
    /// The head, as far as it is kept.
    head: Vec<u8>,
    head_bytes: u64,
    is_complete: bool,
}

impl Entry {
    /// The entry of a request; `None` = it is not logged.
    pub(super) fn begin(
        web: &WebSettings,
        variables: &dyn Variables,
        connection_opened: Option<Instant>,
        is_nchan: bool,
    ) -> Option<Box<Self>> {
        let lines: Vec<Line> = web
            .access_logs
            .iter()
            .filter_map(|log| line(log, variables))
            .collect();
        if lines.is_empty() {
            return None;
        }
        let request_bytes = variables
            .builtin("request_length")
            .and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok());
        let answer = LoggedResponse {
            status: CLIENT_LEFT,
            bytes: 0,
            head: Vec::new(),
            head_bytes: 0,
            is_complete: false,
        };
        let request_bytes = request_bytes.unwrap_or_default();
        Some(Box::new(Self {
            lines,
            begin: Instant::now(),
            connection_opened,
            answer,
            request_bytes,
            body: None,
            is_nchan,
        }))
    }

    /// Bytes that it keeps of its request.
    pub(super) fn kept_bytes(&self) -> usize {
        let of = |piece: &Piece| {
            size_of::<Piece>()
                + match piece {
                    Piece::Text(text) => text.capacity(),
                    Piece::AtEnd(_, snapshot) => snapshot.own_bytes(),
                }
        };
        self.lines
            .iter()
            .flat_map(|line| line.pieces.iter().chain(&line.condition))
            .map(of)
            .sum()
    }

    /// Writes nothing: the request is routed again.
    pub(super) fn forget(&mut self) {
        self.lines.clear();
    }

    /// Bytes of the body were read.
    pub(super) fn add_received(&mut self, bytes: u64) {
        self.request_bytes += bytes;
    }

    /// Records the body that was read, if a line has it.
    pub(super) fn record_body(&mut self, body: &Bytes) {
        let mut pieces = self
            .lines
            .iter()
            .flat_map(|line| line.pieces.iter().chain(&line.condition));
        if pieces.any(
            |piece| matches!(piece, Piece::AtEnd(expression, _) if expression.uses("request_body")),
        ) {
            self.body = Some(body.clone());
        }
    }

    /// Records an answer that is sent: its head, and how many bytes follow that.
    pub(super) fn answered(&mut self, head: &[u8], body_bytes: u64) {
        self.answer = LoggedResponse {
            status: status_of(head).unwrap_or(CLIENT_LEFT),
            bytes: head.len() as u64 + body_bytes,
            head: head[..head.len().min(MAX_HEADER_BYTES)].to_vec(),
            head_bytes: head.len() as u64,
            is_complete: true,
        };
    }

    /// The connection is closed without an answer.
    pub(super) fn closed(&mut self) {
        self.answer.status = 444;
    }

    /// Records what a follower got, and how it ended: `has_left` = the client did not see the end.
    pub(super) fn followed(&mut self, tap: Tap, has_left: bool) {
        let ended = match tap.ending {
            Some(EndReason::TimeToLive) if self.is_nchan => Some(408),
            Some(EndReason::Deleted) if self.is_nchan => Some(410),
            Some(EndReason::Conflict) if self.is_nchan => Some(409),
            _ => None,
        };
        let sent = status_of(&tap.head);
        let status = if has_left {
            CLIENT_LEFT
        } else {
            ended.or(sent).unwrap_or(CLIENT_LEFT)
        };
        let head_bytes = tap.head.len() as u64;
        self.answer = LoggedResponse {
            status,
            bytes: tap.sent,
            head: tap.head,
            head_bytes,
            is_complete: !has_left,
        };
    }
}

/// The status in a rendered head.
fn status_of(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

fn line(log: &Arc<AccessLog>, variables: &dyn Variables) -> Option<Line> {
    let condition = match &log.condition {
        Some(condition) if condition.depends_on_response() => Some(at_end(condition, variables)),
        Some(condition)
            if regex_pattern::isolated(|| is_false(&condition.evaluate(variables))) == Ok(true) =>
        {
            return None;
        }
        _ => None,
    };
    let piece = |part: &Expression| match part.as_literal() {
        Some(text) => Piece::Text(text.to_vec()),
        None if part.depends_on_response() => at_end(part, variables),
        None => {
            let is_known = part
                .as_builtin()
                .is_some_and(|name| variables.builtin(name).is_some());
            Piece::Text(escaped(
                &evaluate(part, variables),
                is_known,
                log.format.escape,
            ))
        }
    };
    Some(Line {
        log: Arc::clone(log),
        condition,
        pieces: log.format.parts.iter().map(piece).collect(),
    })
}

/// A regular expression that fails leaves a value of a line empty. It concerns neither other values
/// nor the request, and no client can keep a line out of a log with it.
fn evaluate(expression: &Expression, variables: &dyn Variables) -> Vec<u8> {
    regex_pattern::isolated(|| expression.evaluate(variables).into_owned()).unwrap_or_default()
}

fn at_end(expression: &Expression, variables: &dyn Variables) -> Piece {
    let snapshot = regex_pattern::isolated(|| expression.snapshot(variables)).unwrap_or_default();
    Piece::AtEnd(expression.clone(), snapshot)
}

fn is_false(value: &[u8]) -> bool {
    matches!(value, b"" | b"0")
}

impl Drop for Entry {
    fn drop(&mut self) {
        for Line {
            log,
            condition,
            pieces,
        } in std::mem::take(&mut self.lines)
        {
            let value = |expression: &Expression, snapshot: &VariableSnapshot| {
                regex_pattern::isolated(|| {
                    expression.evaluate_deferred(snapshot, &|name| self.value(name))
                })
            };
            if let Some(Piece::AtEnd(expression, snapshot)) = &condition
                && value(expression, snapshot).is_ok_and(|value| is_false(&value))
            {
                continue;
            }
            let mut text = Vec::new();
            for piece in &pieces {
                match piece {
                    Piece::Text(piece) => text.extend_from_slice(piece),
                    Piece::AtEnd(expression, snapshot) => {
                        let is_known = expression
                            .as_builtin()
                            .is_some_and(|name| self.value(name).is_some());
                        text.extend_from_slice(&escaped(
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

impl Entry {
    /// The value of a variable that depends on the answer, or on the time.
    fn value(&self, name: &str) -> Option<Vec<u8>> {
        let LoggedResponse {
            status,
            bytes,
            head,
            head_bytes,
            is_complete,
        } = &self.answer;
        let text = match name {
            "status" => format!("{status:03}"),
            "bytes_sent" => bytes.to_string(),
            "body_bytes_sent" => bytes.saturating_sub(*head_bytes).to_string(),
            "request_completion" => if *is_complete { "OK" } else { "" }.to_owned(),
            "request_body" => return self.body.as_ref().map(|body| body.to_vec()),
            "request_length" => self.request_bytes.to_string(),
            "request_time" => seconds(self.begin.elapsed()),
            "connection_time" => seconds(
                self.connection_opened
                    .map(|opened| opened.elapsed())
                    .unwrap_or_default(),
            ),
            "msec" => request::milliseconds(),
            "time_local" => request::local_time(unix_now()),
            "time_iso8601" => format!("{}+00:00", crate::server::iso_time(unix_now())),
            name => return sent_header(head, name.strip_prefix("sent_http_")?).map(<[u8]>::to_vec),
        };
        Some(text.into_bytes())
    }
}

/// Seconds and milliseconds, as nginx writes a duration.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// The value of a header of an answer, by the name of its variable.
fn sent_header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let is_same =
        |(one, other): (u8, u8)| one.eq_ignore_ascii_case(&other) || (one, other) == (b'-', b'_');
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (known, value) = line.split_at(memchr::memchr(b':', line)?);
        let is_it =
            known.len() == name.len() && known.iter().copied().zip(name.bytes()).all(is_same);
        is_it.then(|| value[1..].trim_ascii())
    })
}

/// A value that cannot be taken for anything else. One that is known and empty is written as that.
fn escaped(value: &[u8], is_known: bool, escape: LogEscape) -> Vec<u8> {
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
