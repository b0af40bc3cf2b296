//! The proxy of a request, for error messages: a forgotten `HTTP_PROXY` causes confusing errors.
//!
//! The HTTP stack selects its proxy by the same rules; this module only reports it. Reads the
//! environment.

use axum::http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use super::shown::{origin, shown};
use super::unix_socket;

/// A proxy of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// URL of the proxy, without credentials.
    pub url: String,
    /// The environment variable that sets the proxy.
    pub variable: &'static str,
}

/// Returns the proxy that requests for `url` use.
#[must_use]
pub fn of(url: &Url) -> Option<Proxy> {
    if unix_socket::path(url).is_some() {
        return None;
    }
    let target: Uri = origin(url).parse().ok()?;
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

/// Like [`shown`], with the proxy that may have sent the response.
pub(crate) fn shown_with_proxy(url: &Url) -> String {
    match of(url) {
        Some(proxy) => format!(
            "{} (through the proxy {} of {})",
            shown(url),
            proxy.url,
            proxy.variable
        ),
        None => shown(url),
    }
}
