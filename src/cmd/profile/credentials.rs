//! Credentials: in a URL, and as a bearer token.

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::environment::{URL_VARIABLE, variable};
use crate::cmd::exit::Usage;

/// The header value of a token; `what` is for errors.
pub(super) fn bearer(token: &str, what: &str) -> Result<HeaderValue, Usage> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
    let mut value = value.map_err(|_| {
        Usage(format!(
            "cannot send {what}: it has characters that are invalid in a header"
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// True if the URL has a user or a password.
pub(super) fn has_credentials(url: &str) -> bool {
    parse(url).is_some_and(|url| !url.username().is_empty() || url.password().is_some())
}

fn parse(url: &str) -> Option<Url> {
    let full = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    Url::parse(&full).ok()
}

/// URL of the environment without its user and password; `None` if it has none.
#[must_use]
pub fn url_without_credentials() -> Option<String> {
    let mut url = variable(URL_VARIABLE)
        .filter(|url| has_credentials(url))
        .as_deref()
        .and_then(parse)?;
    // They fail for URLs without host, which have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(url.into())
}
