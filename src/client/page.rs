//! HTML pages: a proxy, a portal or another website answers any request with one, and with 200. No
//! push server does.

use reqwest::Url;

use super::Error;
use super::error::shown;

/// True if a `Content-Type` says that the body is a page.
#[must_use]
pub fn is_html(content_type: &str) -> bool {
    content_type
        .get(..9)
        .is_some_and(|start| start.eq_ignore_ascii_case("text/html"))
}

/// True if this is no message and no channel info but a document.
#[must_use]
pub fn is_document(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"].iter().any(|mark| {
        start
            .get(..mark.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(mark))
    })
}

/// What the first bytes of a body show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// A page, or a script for one.
    Page,
    /// Something else.
    Other,
    /// Too little to know.
    Unclear,
}

/// What a page begins with, whatever its type says.
const DOCUMENT: [&str; 2] = ["<!doctype html", "<html"];
/// What else it begins with where the type says that it is a page: the module's sample sends each
/// message as a script.
const PARTS: [&str; 8] = [
    "<head", "<body", "<script", "<title", "<meta", "<link", "<style", "<!--",
];

/// Looks at the first bytes of a body that should be messages.
#[must_use]
pub fn beginning(body: &[u8], is_html: bool) -> Beginning {
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
    // Only a page is worth a wait: a message of another type that is one of these letters must not
    // be held back.
    if is_html && marks.any(may_start) {
        Beginning::Unclear
    } else {
        Beginning::Other
    }
}

/// The error of a stream that is a page.
#[must_use]
pub fn no_messages(url: &Url) -> Error {
    let reason = "it is an HTML page, whose scripts have the messages (name a location for \
                  programs with --sub-path)"
        .to_owned();
    Error::Protocol {
        url: shown(url),
        reason,
    }
}

/// The error of an answer that is a page; `option` names another location.
#[must_use]
pub fn error(url: &Url, option: &str) -> Error {
    let reason = format!("it is an HTML page of something else (see --url and {option})");
    Error::Protocol {
        url: shown(url),
        reason,
    }
}

/// Refuses the answer to a publication or a deletion if it is a page. An empty one may have any
/// type.
///
/// # Errors
/// [`Error::Protocol`].
pub fn refuse(url: &Url, is_html: bool, body: &[u8]) -> Result<(), Error> {
    if is_document(body) || (is_html && !body.trim_ascii().is_empty()) {
        Err(error(url, "--pub-path"))
    } else {
        Ok(())
    }
}
