//! Where things are: the URLs of publishing, following and statistics, built from one base URL and path templates.
//!
//! Does not talk to anybody.

use reqwest::Url;

use super::{Error, Mode};

/// Path template of the publisher: the built-in location, and that of the module's sample configuration.
pub const PUBLISH_PATH: &str = "/pub?id={channel}";
/// Path template of statistics.
pub const STATISTICS_PATH: &str = "/channels-stats?id={channel}";

/// The URLs of one server.
#[derive(Clone, Debug)]
pub struct Endpoints {
    base: String,
    publish: String,
    subscribe: Option<String>,
    statistics: String,
}

impl Endpoints {
    /// Takes the server's URL (`http` if no scheme is given; a path is kept as a prefix) and the user's path templates.
    ///
    /// # Errors
    /// [`Error::Request`] if `base` is no URL of an HTTP server.
    pub fn new(base: &str, publish: Option<&str>, subscribe: Option<&str>, statistics: Option<&str>) -> Result<Self, Error> {
        let full = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        let full = match full.split_once("://") {
            Some(("ws", rest)) => format!("http://{rest}"),
            Some(("wss", rest)) => format!("https://{rest}"),
            _ => full,
        };
        let url =
            Url::parse(&full).map_err(|error| Error::Request(format!("cannot read the server's url '{base}': {error} (see --url)")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(Error::Request(format!("cannot use the server's url '{base}': it is not http or https (see --url)")));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Error::Request(format!(
                "cannot use the server's url '{base}': it has arguments (see --url and the --…-path options)"
            )));
        }
        let template = |given: Option<&str>, default: &str| with_channel(given.unwrap_or(default));
        Ok(Self {
            base: full.trim_end_matches('/').to_owned(),
            publish: template(publish, PUBLISH_PATH),
            subscribe: subscribe.map(|path| {
                if path.contains("{channel}") { path.to_owned() } else { format!("{}/{{channel}}", path.trim_end_matches('/')) }
            }),
            statistics: template(statistics, STATISTICS_PATH),
        })
    }

    /// The server as given, for messages to the user.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Where messages for `channels` (several separated by `/`) are posted to.
    ///
    /// # Errors
    /// [`Error::Request`] if the template makes no URL.
    pub fn publish(&self, channels: &str) -> Result<Url, Error> {
        self.expand(&self.publish, channels)
    }

    /// Where `channels` (several separated by `/`, backtracks included) are followed in `mode`.
    ///
    /// # Errors
    /// [`Error::Request`] if the template makes no URL.
    pub fn subscribe(&self, mode: Mode, channels: &str) -> Result<Url, Error> {
        let built_in = match mode {
            Mode::Ev => "/ev/{channel}",
            Mode::Ws => "/ws/{channel}",
            Mode::Lp => "/lp/{channel}",
            Mode::Poll => "/poll/{channel}",
            Mode::Stream => "/sub/{channel}",
        };
        self.expand(self.subscribe.as_deref().unwrap_or(built_in), channels)
    }

    /// Where statistics are: of `channels` (names, `prefix*` or `ALL`), or the summary.
    ///
    /// # Errors
    /// [`Error::Request`] if the template makes no URL.
    pub fn statistics(&self, channels: Option<&str>) -> Result<Url, Error> {
        match channels {
            Some(channels) => self.expand(&self.statistics, channels),
            None => {
                let mut url = self.expand(&self.statistics, "")?;
                // The summary is what a server tells when no channel is named.
                let rest: Vec<String> =
                    url.query().unwrap_or("").split('&').filter(|pair| !pair.ends_with('=')).map(str::to_owned).collect();
                let rest = rest.join("&");
                url.set_query((!rest.is_empty()).then_some(rest.as_str()));
                Ok(url)
            }
        }
    }

    fn expand(&self, template: &str, channels: &str) -> Result<Url, Error> {
        let (before, after) = template.split_once("{channel}").unwrap_or((template, ""));
        let slash = if before.starts_with('/') { "" } else { "/" };
        let channels = encode(channels, before.contains('?'));
        let text = format!("{}{slash}{before}{channels}{after}", self.base);
        Url::parse(&text).map_err(|error| Error::Request(format!("cannot use '{text}': {error} (see --url and the --…-path options)")))
    }
}

fn with_channel(template: &str) -> String {
    match (template.contains("{channel}"), template.contains('?')) {
        (true, _) => template.to_owned(),
        (false, true) => format!("{template}&id={{channel}}"),
        (false, false) => format!("{template}?id={{channel}}"),
    }
}

/// Percent-encodes channel ids. A `%` in a path is encoded twice, because servers decode what a location captured from an
/// already decoded path once more (protocol reference, section 2).
fn encode(channels: &str, in_query: bool) -> String {
    let mut text = String::with_capacity(channels.len());
    for byte in channels.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'*' | b':' | b'@' | b',' | b'!' => {
                text.push(char::from(byte))
            }
            b'%' if !in_query => text.push_str("%2525"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                text.push('%');
                text.push(char::from(HEX[usize::from(byte >> 4)]));
                text.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(base: &str) -> Endpoints {
        Endpoints::new(base, None, None, None).expect("a good url")
    }

    #[test]
    fn built_in_paths_follow_the_base() {
        let here = endpoints("http://h:9080/push/");
        assert_eq!(here.publish("a/b c").expect("url").as_str(), "http://h:9080/push/pub?id=a/b%20c");
        assert_eq!(here.subscribe(Mode::Lp, "a.b5").expect("url").as_str(), "http://h:9080/push/lp/a.b5");
        assert_eq!(here.statistics(Some("pre*")).expect("url").as_str(), "http://h:9080/push/channels-stats?id=pre*");
        assert_eq!(here.statistics(None).expect("url").as_str(), "http://h:9080/push/channels-stats");
    }

    #[test]
    fn a_percent_sign_survives_the_double_decoding_of_paths() {
        let here = endpoints("h");
        assert_eq!(here.subscribe(Mode::Ev, "100%").expect("url").as_str(), "http://h/ev/100%2525");
        assert_eq!(here.publish("100%").expect("url").as_str(), "http://h/pub?id=100%25");
    }

    #[test]
    fn foreign_paths_are_templates() {
        let here = Endpoints::new("https://h", Some("/publish"), Some("/activity?ch={channel}"), Some("/s?x=1")).expect("a good url");
        assert_eq!(here.publish("a").expect("url").as_str(), "https://h/publish?id=a");
        assert_eq!(here.subscribe(Mode::Ws, "a").expect("url").as_str(), "https://h/activity?ch=a");
        assert_eq!(here.statistics(Some("a")).expect("url").as_str(), "https://h/s?x=1&id=a");
        assert_eq!(here.statistics(None).expect("url").as_str(), "https://h/s?x=1");
    }

    #[test]
    fn wrong_urls_are_usage_errors() {
        for base in ["ftp://h", "http://", "http://h/?a=b", "http://[::1"] {
            assert!(matches!(Endpoints::new(base, None, None, None), Err(Error::Request(_))), "{base}");
        }
    }
}
