//! Cross-origin headers (push-stream.md, section 4).

use crate::server::config::expression::percent::percent_decode;
use crate::server::config::{LocationSettings, Variables};
use crate::server::exchange::response::push_line;

/// Returns the CORS header lines; empty without `allowed_origins`.
#[must_use]
pub fn cors_lines(
    settings: &LocationSettings,
    variables: &dyn Variables,
    methods: &str,
) -> Vec<u8> {
    let mut lines = Vec::new();
    let origins = settings
        .allowed_origins
        .as_ref()
        .map(|origins| origins.evaluate(variables))
        .unwrap_or_default();
    if !origins.is_empty() {
        push_line(
            b"Access-Control-Allow-Origin: ",
            &percent_decode(&origins),
            &mut lines,
        );
        push_line(
            b"Access-Control-Allow-Methods: ",
            methods.as_bytes(),
            &mut lines,
        );
        lines.extend_from_slice(
            b"Access-Control-Allow-Headers: \
                                 If-Modified-Since,If-None-Match,Etag,Event-Id,Event-Type,\
                                 Last-Event-Id\r\n",
        );
    }
    lines
}
