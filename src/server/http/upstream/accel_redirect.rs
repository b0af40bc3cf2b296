//! Internal redirects by back-ends of locations with `proxy_pass` (`X-Accel-Redirect`).

use std::borrow::Cow;

use crate::server::config::expression::percent::percent_decode;

/// Target of an internal redirect.
pub(in crate::server) struct AccelTarget<'a> {
    /// Decoded path.
    pub(in crate::server) path: Cow<'a, [u8]>,
    pub(in crate::server) query: &'a [u8],
}

impl<'a> AccelTarget<'a> {
    /// Parses a target. As in nginx, `None` for one that leads out of the root or is no path.
    pub(in crate::server) fn parse(target: &'a [u8]) -> Option<Self> {
        let (path, query) = target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()));
        let path = percent_decode(path);
        let is_safe = path.starts_with(b"/")
            && !path.contains(&0)
            && !path
                .split(|byte| *byte == b'/')
                .any(|segment| segment == b"..");
        is_safe.then(|| Self {
            path,
            query: query.get(1..).unwrap_or_default(),
        })
    }
}
