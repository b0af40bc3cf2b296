//! Servers on unix sockets: their notation and their URLs inside the client.
//!
//! Users write `unix:PATH` or `unix:PATH:/prefix`, as in nginx (or `http://unix:PATH:/prefix`).
//! Requests need a URL with a host, so the path of the socket is encoded as a host name that cannot
//! be resolved; [`path`] decodes it for connecting and [`shown`] for messages. Opens no socket
//! itself.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use reqwest::Url;

/// Suffix of the host names; `.invalid` is reserved (RFC 2606).
const SUFFIX: &str = ".unix.invalid";
/// The `Host` header of requests.
pub const HOST: &str = "localhost";

/// Parses the notation of a server on a unix socket: the path of the socket and the prefix of all
/// paths.
#[must_use]
pub fn parse(text: &str) -> Option<(&str, &str)> {
    let rest = text
        .strip_prefix("http://")
        .unwrap_or(text)
        .strip_prefix("unix:")?;
    Some(rest.split_once(':').unwrap_or((rest, "")))
}

/// Returns the URL of a server on a unix socket, for requests.
#[must_use]
pub fn url(path: &str, prefix: &str) -> String {
    let mut url = String::from("http://");
    for byte in path.bytes() {
        write!(url, "{byte:02x}").expect("writing to a string cannot fail");
    }
    let slash = if prefix.is_empty() || prefix.starts_with('/') {
        ""
    } else {
        "/"
    };
    url + SUFFIX + slash + prefix
}

/// Returns the socket path in a URL created by [`url`].
#[must_use]
pub fn path(url: &Url) -> Option<PathBuf> {
    let digits = url.host_str()?.strip_suffix(SUFFIX)?.as_bytes();
    let byte = |pair: &[u8]| {
        std::str::from_utf8(pair)
            .ok()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes
        .filter(|bytes| !bytes.is_empty())
        .map(|bytes| PathBuf::from(OsStr::from_bytes(&bytes)))
}

/// Formats `text`, which is `url` or a prefix of it, in the notation of users.
#[must_use]
pub fn shown(url: &Url, text: &str) -> String {
    let (Some(path), Some(host)) = (path(url), url.host_str()) else {
        return text.to_owned();
    };
    let rest = text.split_once(host).map_or("", |(_, rest)| rest);
    let colon = if rest.is_empty() { "" } else { ":" };
    format!("unix:{}{colon}{rest}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_way_through_a_url() {
        for (text, path_text, prefix, shown_text) in [
            ("unix:./x.sock", "./x.sock", "", "unix:./x.sock:/pub"),
            (
                "unix:/run/push.sock:/live",
                "/run/push.sock",
                "/live",
                "unix:/run/push.sock:/live/pub",
            ),
            (
                "http://unix:/run/push.sock:/live",
                "/run/push.sock",
                "/live",
                "unix:/run/push.sock:/live/pub",
            ),
            (
                "unix:/tmp/mit Ä.sock",
                "/tmp/mit Ä.sock",
                "",
                "unix:/tmp/mit Ä.sock:/pub",
            ),
        ] {
            assert_eq!(parse(text), Some((path_text, prefix)), "{text}");
            let url: Url = format!("{}/pub", url(path_text, prefix))
                .parse()
                .expect("a url");
            assert_eq!(path(&url), Some(PathBuf::from(path_text)));
            assert_eq!(shown(&url, url.as_str()), shown_text);
        }
        for text in ["http://unix.example", "h:9080", "unix"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(path(&"http://.unix.invalid/".parse().expect("a url")), None);
    }
}
