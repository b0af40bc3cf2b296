//! The proxy that stands between us and a server, for error messages: many a puzzle is a forgotten
//! `HTTP_PROXY`.
//!
//! The HTTP stack finds its proxy by the same rules; this only tells what it found. Reads the
//! environment, nothing else.

use axum::http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use super::unix_socket;

/// A proxy, as the user set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is, without credentials.
    pub url: String,
    /// The environment variable that names it.
    pub variable: &'static str,
}

/// The proxy that requests for `url` go through.
#[must_use]
pub fn of(url: &Url) -> Option<Proxy> {
    if unix_socket::path(url).is_some() {
        return None;
    }
    let target: Uri = super::error::origin(url).parse().ok()?;
    let found = Matcher::from_env().intercept(&target)?;
    let own: [&'static str; 2] = if url.scheme() == "https" {
        ["HTTPS_PROXY", "https_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy"]
    };
    let variable = own
        .into_iter()
        .chain(["ALL_PROXY", "all_proxy"])
        .find(|name| std::env::var(name).is_ok_and(|value| !value.is_empty()));
    Some(Proxy {
        url: found.uri().to_string().trim_end_matches('/').to_owned(),
        variable: variable.unwrap_or("HTTP_PROXY"),
    })
}
