//! What the expressions of a configuration read of a request.
//!
//! `http::replay` applies the result of routing to further requests that differ from the routed one
//! in known places. That is right as long as no expression has read such a place: all other inputs
//! are equal, so that the evaluation takes the same way. Therefore nothing has to be known about
//! directives: each evaluation records what it reads, in this thread. Other code that decides about
//! a request records with [`record_changing`] or [`record_until`] what it reads besides the
//! request.

use std::cell::Cell;
use std::time::Instant;

thread_local! {
    static READS: Cell<Reads> = const { Cell::new(Reads::NOTHING) };
}

/// What was read since the last call of [`Reads::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    /// Reads of query arguments that have a value.
    arguments: u32,
    /// A read of the request target as a whole.
    target: bool,
    /// A read of a header that carries the cursor of a subscriber.
    cursor_headers: bool,
    /// A read of something that differs between requests with the same head.
    changing: bool,
    /// The earliest time until which something that was read is valid.
    until: Option<Instant>,
}

/// Built-in variables that have the same value for all requests of a connection with the same
/// method, path and headers.
const CONSTANT: &[&str] = &[
    "binary_remote_addr",
    "connection",
    "document_root",
    "document_uri",
    "fastcgi_script_name",
    "host",
    "hostname",
    "http2",
    "https",
    "is_args",
    "nginx_version",
    "pid",
    "pipe",
    "realip_remote_addr",
    "realip_remote_port",
    "realpath_root",
    "remote_addr",
    "remote_port",
    "remote_user",
    "request_filename",
    "request_method",
    "scheme",
    "server_addr",
    "server_name",
    "server_port",
    "server_protocol",
    "uri",
];

/// Built-in variables that also depend on the query.
const OF_TARGET: &[&str] = &["args", "query_string", "request", "request_uri"];

impl Reads {
    const NOTHING: Self = Self {
        arguments: 0,
        target: false,
        cursor_headers: false,
        changing: false,
        until: None,
    };

    /// Returns what was read, and clears the record.
    pub fn take() -> Self {
        READS.replace(Self::NOTHING)
    }

    /// Returns the time until which all that was read is valid; `None` = for ever.
    #[must_use]
    pub fn valid_until(self) -> Option<Instant> {
        self.until
    }

    /// Returns whether nothing depends on some query arguments but the `count` reads for which the
    /// caller accounts: one of each. None of them may be empty, because only reads of arguments
    /// with a value are counted.
    #[must_use]
    pub fn allow_other_arguments(self, count: u32) -> bool {
        self.arguments == count && !self.target && !self.changing
    }

    /// Returns whether nothing depends on the headers of a cursor.
    #[must_use]
    pub fn allow_other_cursor_headers(self) -> bool {
        !self.cursor_headers && !self.changing
    }
}

fn record(change: impl FnOnce(&mut Reads)) {
    let mut reads = READS.get();
    change(&mut reads);
    READS.set(reads);
}

/// Records that routing depends on something that is valid until this time, such as a cached
/// result.
pub fn record_until(until: Instant) {
    record(|reads| reads.until = Some(reads.until.map_or(until, |earlier| earlier.min(until))));
}

/// Records that routing depends on something that changes without the request: a clock, a file, a
/// password, the number of requests.
pub fn record_changing() {
    record(|reads| reads.changing = true);
}

/// Records a read of a query argument.
pub(super) fn record_argument(value: Option<&[u8]>) {
    if value.is_some_and(|value| !value.is_empty()) {
        record(|reads| reads.arguments = reads.arguments.saturating_add(1));
    }
}

/// Records a read of a header.
pub(super) fn record_header(name: &str) {
    match name {
        "content-length" => record_changing(),
        "if-modified-since" | "if-none-match" => record(|reads| reads.cursor_headers = true),
        _ => {}
    }
}

/// Records a read of a built-in variable.
pub(super) fn record_builtin(name: &str) {
    if OF_TARGET.contains(&name) {
        record(|reads| reads.target = true);
    } else if !CONSTANT.contains(&name) {
        record_changing();
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::server::config::{Expression, Variables};

    struct Request;

    impl Variables for Request {
        fn argument(&self, name: &[u8]) -> Option<&[u8]> {
            match name {
                b"id" => Some(b"ch"),
                b"empty" => Some(b""),
                _ => None,
            }
        }
        fn header(&self, _: &str) -> Option<&[u8]> {
            Some(b"value")
        }
        fn builtin(&self, _: &str) -> Option<Cow<'_, [u8]>> {
            Some(Cow::Borrowed(b"value"))
        }
    }

    #[test]
    fn evaluation_records_what_it_reads() {
        for (text, arguments, of_arguments, of_headers) in [
            ("", 0, true, true),
            ("$arg_id", 1, true, true),
            ("$arg_id$arg_id", 2, true, true),
            ("$arg_empty$arg_other", 0, true, true),
            ("$http_host$cookie_a$uri$remote_addr", 0, true, true),
            ("$args", 0, false, true),
            ("$request_uri", 0, false, true),
            ("$http_if_none_match", 0, true, false),
            ("$http_content_length", 0, false, false),
            ("$msec", 0, false, false),
            ("$request_length", 0, false, false),
            ("$connection_requests", 0, false, false),
        ] {
            let expression = Expression::parse(text.as_bytes()).expect("an expression");
            Reads::take();
            let _ = expression.evaluate(&Request);
            let reads = Reads::take();
            assert_eq!(
                reads.allow_other_arguments(arguments),
                of_arguments,
                "{text}"
            );
            assert_eq!(reads.allow_other_cursor_headers(), of_headers, "{text}");
            assert_eq!(Reads::take(), Reads::NOTHING);
        }
    }
}
