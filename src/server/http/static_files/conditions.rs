//! Conditional requests and ranges, as nginx evaluates them.

use crate::message::parse_http_date;
use crate::server::config::model::web::IfModifiedSince;
use crate::server::exchange::request::Request;
use crate::server::exchange::response::Status;

/// Request headers that make the response depend on the file.
pub(super) struct Conditions {
    range: Option<Vec<u8>>,
    if_range: Option<Vec<u8>>,
    if_match: Option<Vec<u8>>,
    if_none_match: Option<Vec<u8>>,
    if_modified_since: Option<Vec<u8>>,
    if_unmodified_since: Option<Vec<u8>>,
}

/// The version of a file that a client may have.
pub(super) struct Validators {
    /// Empty if the location sends none.
    pub(super) etag: String,
    pub(super) last_modified: String,
    /// The same in seconds since 1970.
    pub(super) modified: u64,
}

impl Conditions {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let header = |name| request.header(name).map(<[u8]>::to_vec);
        Self {
            range: header("range"),
            if_range: header("if-range"),
            if_match: header("if-match"),
            if_none_match: header("if-none-match"),
            if_modified_since: header("if-modified-since"),
            if_unmodified_since: header("if-unmodified-since"),
        }
    }

    /// Returns 304 or 412, if a condition demands it (nginx's conditional filter).
    pub(super) fn status(&self, file: &Validators, unmodified: IfModifiedSince) -> Option<Status> {
        let Validators {
            etag,
            last_modified,
            modified,
        } = file;
        let is_same = |header: &[u8]| match unmodified {
            IfModifiedSince::Never => false,
            IfModifiedSince::Exact => header == last_modified.as_bytes(),
            IfModifiedSince::Before => {
                parse_http_date(header).is_some_and(|time| *modified <= time)
            }
        };
        let is_later =
            |header: &Vec<u8>| parse_http_date(header).is_some_and(|time| *modified > time);
        let has_failed = self.if_unmodified_since.as_ref().is_some_and(is_later)
            || self
                .if_match
                .as_ref()
                .is_some_and(|tags| !has_tag(tags, etag, false));
        if has_failed {
            return Some(Status(412));
        }
        if self.if_modified_since.is_none() && self.if_none_match.is_none() {
            return None;
        }
        let is_new = self
            .if_modified_since
            .as_deref()
            .is_some_and(|header| !is_same(header))
            || self
                .if_none_match
                .as_ref()
                .is_some_and(|tags| !has_tag(tags, etag, true));
        (!is_new).then_some(Status::NOT_MODIFIED)
    }

    /// Returns the requested range, unless it is one of several or for another version of the file.
    pub(super) fn range(&self, file: &Validators) -> Option<&[u8]> {
        let range = self.range.as_deref().filter(|range| {
            range
                .get(..6)
                .is_some_and(|unit| unit.eq_ignore_ascii_case(b"bytes="))
        })?;
        let is_same = self.if_range.as_deref().is_none_or(|version| {
            version == file.etag.as_bytes() || version == file.last_modified.as_bytes()
        });
        (is_same && !range.contains(&b',')).then_some(range)
    }
}

/// Returns whether `tag` is in the list of a header; with `weak` a weak tag matches, too.
fn has_tag(tags: &[u8], tag: &str, weak: bool) -> bool {
    tags == b"*"
        || tags
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|listed| {
                let listed = if weak {
                    listed.strip_prefix(b"W/").unwrap_or(listed)
                } else {
                    listed
                };
                !tag.is_empty() && listed == tag.as_bytes()
            })
}
