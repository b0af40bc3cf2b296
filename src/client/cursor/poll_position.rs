//! The position in the headers of poll responses. Does no I/O.

use super::resume_point::ResumePoint;
use crate::message::{Position, parse_http_date};

/// The headers of the last poll response, and whether they are the position of all channels.
#[derive(Clone, Debug, Default)]
pub(super) struct PollPosition {
    last: Option<PollHeaders>,
    /// Position of all channels after the last complete poll response.
    common: Option<Position>,
    /// True if messages arrived on an endless connection since the last poll response, so that its
    /// headers are outdated.
    is_outdated: bool,
    /// True if a poll response was cut off, so that the headers of the last one are not the
    /// position of all channels.
    is_cut: bool,
}

#[derive(Clone, Debug)]
struct PollHeaders {
    last_modified: String,
    etag: Option<String>,
}

impl PollPosition {
    /// The channels have different positions from the beginning.
    pub(super) fn outdated() -> Self {
        Self {
            is_outdated: true,
            ..Self::default()
        }
    }

    /// True if there was a poll response.
    pub(super) fn is_known(&self) -> bool {
        self.last.is_some()
    }

    /// True if the headers are the position of all channels.
    pub(super) fn is_common(&self) -> bool {
        !self.is_cut && !self.is_outdated
    }

    /// True if the last poll response was cut off.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Position of all channels after the last complete poll response.
    pub(super) fn common(&self) -> Option<Position> {
        self.common
    }

    /// Records that a poll response was cut off: its messages count, its headers do not.
    pub(super) fn record_cut(&mut self) {
        self.is_cut = true;
    }

    /// Records that messages arrive on an endless connection.
    pub(super) fn record_endless_connection(&mut self) {
        self.is_outdated = true;
    }

    /// Records the headers of a complete response, and returns its position. A response without
    /// `Last-Modified` changes nothing.
    pub(super) fn record(
        &mut self,
        last_modified: Option<&str>,
        etag: Option<&str>,
    ) -> Option<Position> {
        self.is_cut = false;
        let last_modified = last_modified?;
        self.is_outdated = false;
        self.last = Some(PollHeaders {
            last_modified: last_modified.to_owned(),
            etag: etag.map(str::to_owned),
        });
        let tag = etag?.trim_start_matches("W/").parse().ok()?;
        let position = Position::new(parse_http_date(last_modified.as_bytes())?, tag);
        self.common = Some(position);
        Some(position)
    }

    /// Returns the headers as a resume point. Without an `Etag` (an old server, or a proxy that
    /// drops it) they are used only if there is `no_better` position.
    pub(super) fn resume_point(
        &self,
        no_better: bool,
        event_id: Option<&String>,
    ) -> Option<ResumePoint> {
        let headers = self
            .last
            .as_ref()
            .filter(|last| last.etag.is_some() || no_better)?;
        Some(ResumePoint {
            time: Some(headers.last_modified.clone()),
            tag: headers.etag.clone(),
            event_id: event_id.cloned(),
        })
    }
}
