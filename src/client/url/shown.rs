//! URLs in messages to the user: without credentials, keys and positions.

use reqwest::Url;

use super::unix_socket;

/// Arguments whose values are shown: those that usually contain channel ids.
const CHANNEL_ARGUMENTS: [&str; 5] = ["id", "ch", "chan", "channel", "channels"];
/// Arguments that are omitted: the position is long and not set by the user.
const CURSOR_ARGUMENTS: [&str; 3] = ["time", "tag", "eventid"];

/// Formats `url` for a message to the user: without credentials and position. Other arguments are
/// shown without their values unless they contain channel ids, because they may be keys.
#[must_use]
pub fn shown(url: &Url) -> String {
    let url = without_user(url);
    let text = unix_socket::shown(&url, url.as_str());
    let Some((path, query)) = text.split_once('?') else {
        return text;
    };
    let kept: Vec<String> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| !CURSOR_ARGUMENTS.contains(name))
        .map(
            |(name, value)| match CHANNEL_ARGUMENTS.contains(&name) || value.is_empty() {
                true => format!("{name}={value}"),
                false => format!("{name}=..."),
            },
        )
        .collect();
    if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    }
}

/// Formats an invalid URL of the user without parts that may be credentials or keys.
#[must_use]
pub fn shown_text(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest
        .split_once('?')
        .map_or_else(|| rest.to_owned(), |(path, _)| format!("{path}?..."));
    if scheme.is_empty() {
        rest
    } else {
        format!("{scheme}://{rest}")
    }
}

/// Scheme, host and port of `url`, as a user would write them.
#[must_use]
pub fn origin(url: &Url) -> String {
    let mut url = without_user(url);
    url.set_path("");
    url.set_query(None);
    unix_socket::shown(&url, url.as_str().trim_end_matches('/'))
}

fn without_user(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail for URLs without host, which have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    url
}
