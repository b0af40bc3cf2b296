//! The content types of a location with its charset.

use bytes::Bytes;

use super::Level;
use crate::server::config::Types;

/// nginx's default for `charset_types`; `text/html` is always included.
const DEFAULT_TYPES: [&str; 6] = [
    "text/html",
    "text/xml",
    "text/plain",
    "text/vnd.wap.wml",
    "application/javascript",
    "application/rss+xml",
];

/// The types of a location with its charset.
pub(in crate::server) fn types(level: &Level, types: Types) -> Types {
    let Some(Some(charset)) = &level.charset else {
        return types;
    };
    let has_charset = |name: &[u8]| {
        let name = name.to_ascii_lowercase();
        let is_it = |known: &str| known == "*" || known.as_bytes() == name;
        // A type with parameters never matches.
        !name.contains(&b';')
            && (name == b"text/html"
                || level.charset_types.as_ref().map_or_else(
                    || DEFAULT_TYPES.into_iter().any(is_it),
                    |types| types.iter().any(|known| is_it(known)),
                ))
    };
    let with_charset = |name: Bytes| match has_charset(&name) && !name.is_empty() {
        true => [&name[..], b"; charset=", charset].concat().into(),
        false => name,
    };
    let by_extension = types
        .by_extension
        .into_iter()
        .map(|(extension, name)| (extension, with_charset(name)));
    Types {
        by_extension: by_extension.collect(),
        default_type: with_charset(types.default_type),
        page_type: with_charset(types.page_type),
    }
}
