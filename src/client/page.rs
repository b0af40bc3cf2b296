//! HTML pages: a proxy, a portal or another website answers any request with one, and with 200. No push server does.

use reqwest::Url;

use super::Error;
use super::error::shown;

/// True if a `Content-Type` says that the body is a page.
#[must_use]
pub fn is_html(content_type: &str) -> bool {
    content_type.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("text/html"))
}

/// True if this is no message and no channel info but a document.
#[must_use]
pub fn is_document(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"].iter().any(|mark| start.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark)))
}

/// The error of an answer that is a page; `option` names another location.
#[must_use]
pub fn error(url: &Url, option: &str) -> Error {
    let reason = format!("it is an HTML page of something else (see --url and {option})");
    Error::Protocol { url: shown(url), reason }
}

/// Refuses the answer to a publication or a deletion if it is a page. An empty one may have any type.
///
/// # Errors
/// [`Error::Protocol`].
pub fn refuse(url: &Url, is_html: bool, body: &[u8]) -> Result<(), Error> {
    if is_document(body) || (is_html && !body.trim_ascii().is_empty()) { Err(error(url, "--pub-path")) } else { Ok(()) }
}
