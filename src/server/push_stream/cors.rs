//! Cross-origin headers (push-stream.md, section 4).

use crate::server::config::expression::percent::percent_decode;
use crate::server::config::{LocationSettings, Variables};
use crate::server::exchange::response::{HeaderList, HeaderListBuilder};

/// Returns the CORS headers; empty without `allowed_origins`.
#[must_use]
pub fn cors_headers(
    settings: &LocationSettings,
    variables: &dyn Variables,
    methods: &str,
) -> HeaderList {
    let origins = settings
        .allowed_origins
        .as_ref()
        .map(|origins| origins.evaluate(variables))
        .unwrap_or_default();
    if origins.is_empty() {
        return HeaderList::default();
    }
    let mut headers = HeaderListBuilder::default();
    headers.push("Access-Control-Allow-Origin", percent_decode(&origins));
    headers.push("Access-Control-Allow-Methods", methods);
    headers.push(
        "Access-Control-Allow-Headers",
        "If-Modified-Since,If-None-Match,Etag,Event-Id,Event-Type,Last-Event-Id",
    );
    headers.build()
}
