//! Settings of nginx's `gzip` directives: which responses are compressed for which clients.
//!
//! Compression itself is in `exchange::compression`.

use crate::server::config::RegexPattern;

/// Settings of a location with `gzip on`.
#[derive(Clone, Debug)]
pub struct GzipSettings {
    /// `gzip_comp_level`: 1 (fastest) to 9.
    pub level: u32,
    /// `gzip_types`, in lower case; always includes `text/html`. `None` = all.
    pub types: Option<Vec<String>>,
    /// `gzip_min_length` in bytes: shorter bodies of known length are not compressed.
    pub min_length: u64,
    /// `gzip_http_version`: 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub least_minor_version: u8,
    /// `gzip_vary`: responses that may be compressed have `Vary: Accept-Encoding`.
    pub vary: bool,
    /// `gzip_proxied`: which responses to proxies are compressed; empty = none.
    pub proxied: Vec<ProxiedCondition>,
    /// `gzip_disable`: clients whose responses are not compressed.
    pub disabled_agents: Vec<UserAgents>,
}

/// A value of `gzip_proxied`: responses to requests with a `Via` header that are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxiedCondition {
    /// Responses whose `Expires` is in the past.
    Expired,
    /// Responses with this word in `Cache-Control`: `no-cache`, `no-store` or `private`.
    CacheControl(&'static str),
    /// Responses without `Last-Modified`.
    NoLastModified,
    /// Responses without `ETag`.
    NoEtag,
    /// Responses to requests with `Authorization`.
    Auth,
    /// All responses.
    Any,
}

impl ProxiedCondition {
    /// The values of `gzip_proxied`, except `off`.
    pub const NAMES: [(&'static str, ProxiedCondition); 8] = [
        ("expired", ProxiedCondition::Expired),
        ("no-cache", ProxiedCondition::CacheControl("no-cache")),
        ("no-store", ProxiedCondition::CacheControl("no-store")),
        ("private", ProxiedCondition::CacheControl("private")),
        ("no_last_modified", ProxiedCondition::NoLastModified),
        ("no_etag", ProxiedCondition::NoEtag),
        ("auth", ProxiedCondition::Auth),
        ("any", ProxiedCondition::Any),
    ];
}

/// The clients of a `gzip_disable` argument.
#[derive(Clone, Debug)]
pub enum UserAgents {
    /// `msie6`: Internet Explorer 4 to 6, except 6 with service pack 2.
    Msie6,
    /// Clients whose `User-Agent` matches, ignoring case.
    Pattern(RegexPattern),
}

impl Default for GzipSettings {
    /// nginx's defaults.
    fn default() -> Self {
        Self {
            level: 1,
            types: Some(vec!["text/html".to_owned()]),
            min_length: 20,
            least_minor_version: 1,
            vary: false,
            proxied: Vec::new(),
            disabled_agents: Vec::new(),
        }
    }
}

impl GzipSettings {
    /// Whether responses of this type are compressed. Parameters after a semicolon are ignored.
    #[must_use]
    pub fn has_type(&self, content_type: &[u8]) -> bool {
        let name = content_type
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let Some(types) = &self.types else {
            return true;
        };
        !name.is_empty()
            && types
                .iter()
                .any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether responses to a client with this `User-Agent` are compressed.
    #[must_use]
    pub fn serves_agent(&self, user_agent: &[u8]) -> bool {
        !self.disabled_agents.iter().any(|agents| match agents {
            UserAgents::Msie6 => is_msie6(user_agent),
            UserAgents::Pattern(pattern) => pattern.is_match(user_agent),
        })
    }
}

fn is_msie6(user_agent: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(user_agent, b"MSIE ") else {
        return false;
    };
    let version = &user_agent[at + 5..];
    match version {
        [b'4' | b'5', b'.', ..] => true,
        [b'6', b'.', rest @ ..] => memchr::memmem::find(rest, b"SV1").is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_parameters_of_types_are_ignored() {
        let settings = GzipSettings {
            types: Some(vec!["text/html".to_owned(), "text/event-stream".to_owned()]),
            ..GzipSettings::default()
        };
        for (content_type, expected) in [
            (&b"text/html"[..], true),
            (b"Text/HTML; charset=utf-8", true),
            (b"text/event-stream; charset=utf-8", true),
            (b"text/plain", false),
            (b"text/htmlx", false),
            (b"", false),
        ] {
            assert_eq!(
                settings.has_type(content_type),
                expected,
                "{}",
                String::from_utf8_lossy(content_type)
            );
        }
        assert!(
            GzipSettings {
                types: None,
                ..settings
            }
            .has_type(b"image/png")
        );
    }

    #[test]
    fn old_browsers_are_recognised_by_their_user_agent() {
        let pattern = RegexPattern::new("curl/7", true).expect("a valid pattern");
        let settings = GzipSettings {
            disabled_agents: vec![UserAgents::Msie6, UserAgents::Pattern(pattern)],
            ..GzipSettings::default()
        };
        for (user_agent, expected) in [
            ("Mozilla/4.0 (compatible; MSIE 5.5; Windows 98)", false),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", false),
            (
                "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)",
                true,
            ),
            ("Mozilla/4.0 (compatible; MSIE 7.0)", true),
            ("CURL/7.88", false),
            ("curl/8", true),
            ("", true),
        ] {
            assert_eq!(
                settings.serves_agent(user_agent.as_bytes()),
                expected,
                "{user_agent}"
            );
        }
    }
}
