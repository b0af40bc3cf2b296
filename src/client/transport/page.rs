//! Detection of HTML pages: a proxy, a captive portal or another web server sends one with status
//! 200 for any request. Push servers never do.

use reqwest::Url;

use crate::client::error::Error;
use crate::client::url::shown;

/// True if a `Content-Type` is that of HTML.
#[must_use]
pub fn is_html(content_type: &str) -> bool {
    content_type
        .get(..9)
        .is_some_and(|start| start.eq_ignore_ascii_case("text/html"))
}

/// True if the body is a whole HTML document.
#[must_use]
pub fn is_document(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"].iter().any(|mark| {
        start
            .get(..mark.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(mark))
    })
}

/// Classification of the first bytes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// An HTML page, or a script in one.
    Page,
    /// Not HTML.
    Other,
    /// Too short to decide.
    Unclear,
}

/// Start of an HTML document, whatever its content type.
const DOCUMENT: [&str; 2] = ["<!doctype html", "<html"];
/// Other starts of HTML, checked if the content type is HTML: in the module's sample configuration
/// each message is a script.
const PARTS: [&str; 8] = [
    "<head", "<body", "<script", "<title", "<meta", "<link", "<style", "<!--",
];

/// Classifies the first bytes of a body that should contain messages.
#[must_use]
pub fn classify_beginning(body: &[u8], is_html: bool) -> Beginning {
    let body = body
        .strip_prefix("\u{feff}".as_bytes())
        .unwrap_or(body)
        .trim_ascii_start();
    let starts = |mark: &&str| {
        body.get(..mark.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(mark.as_bytes()))
    };
    let may_start = |mark: &&str| {
        mark.as_bytes()
            .get(..body.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(body))
    };
    let parts: &[&str] = if is_html { &PARTS } else { &[] };
    let mut marks = DOCUMENT.iter().chain(parts);
    if marks.clone().any(starts) {
        return Beginning::Page;
    }
    // Waiting is justified only for HTML: a message of another type that consists of these letters
    // must not be delayed.
    if is_html && marks.any(may_start) {
        Beginning::Unclear
    } else {
        Beginning::Other
    }
}

/// Returns the error of a stream that is an HTML page.
#[must_use]
pub fn no_messages(url: &Url) -> Error {
    let reason = "it is an HTML page whose scripts contain the messages (set a location for \
                  programs with --sub-path)"
        .to_owned();
    Error::Protocol {
        url: shown(url),
        reason,
    }
}

/// Returns the error of a response that is an HTML page; `option` sets another location.
#[must_use]
pub fn error(url: &Url, option: &str) -> Error {
    let reason = format!("it is an HTML page of another service (see --url and {option})");
    Error::Protocol {
        url: shown(url),
        reason,
    }
}

/// Rejects an HTML page as response to a publication or a deletion. An empty body may have any
/// content type.
///
/// # Errors
/// [`Error::Protocol`] if the body is a page.
pub fn reject_page(url: &Url, is_html: bool, body: &[u8]) -> Result<(), Error> {
    if is_document(body) || (is_html && !body.trim_ascii().is_empty()) {
        Err(error(url, "--pub-path"))
    } else {
        Ok(())
    }
}
