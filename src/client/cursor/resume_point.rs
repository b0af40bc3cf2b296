//! Resume points: what a request sends so that the server continues after the last message.

use super::{Cursor, PollHeaders};
use crate::client::dialect::{Dialect, MessageId};
use crate::message::{Position, http_date};

/// A tag of nchan and NHPM that is greater than all tags of a second.
const LAST_TAG: &str = "9999";

/// The headers or arguments from which a server resumes a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumePoint {
    /// `If-Modified-Since` and `time`
    pub time: Option<String>,
    /// `If-None-Match` and `tag`
    pub tag: Option<String>,
    /// `Last-Event-ID` and `eventid`
    pub event_id: Option<String>,
}

impl Cursor {
    /// Returns the resume point for NHPM and nchan: the id of the last message. Without an id
    /// nothing is sent, so the location decides where to start, and older messages are dropped by
    /// the cursor: nchan 1.3 crashes on a message id in a channel that exists and has no messages
    /// (nhpm-nchan.md, section 2.3).
    pub fn for_unframed(&mut self, dialect: Option<Dialect>) -> ResumePoint {
        let start = self.common_start.and_then(|common_start| {
            match (self.is_exact, self.is_start_raised) {
                (true, _) => Some(MessageId {
                    time: common_start.time,
                    tags: common_start.tag.to_string(),
                }),
                (false, true) => Some(MessageId {
                    time: common_start.time.saturating_sub(1),
                    tags: LAST_TAG.to_owned(),
                }),
                (false, false) => None,
            }
        });
        let Some(id) = self
            .event_id
            .as_deref()
            .and_then(MessageId::parse)
            .or(start)
        else {
            return ResumePoint::default();
        };
        match dialect {
            Some(Dialect::Nhpm) => ResumePoint {
                time: Some(http_date(id.time)),
                tag: Some(id.tags),
                event_id: None,
            },
            // The one form that all locations of nchan read, whatever their configuration.
            _ => ResumePoint {
                time: None,
                tag: Some(id.to_string()),
                event_id: None,
            },
        }
    }

    /// Returns the start as a message id of nchan if [`Self::for_unframed`] leaves it out. It must
    /// be sent only if all of the `channels` have messages.
    #[must_use]
    pub fn unsent_start(&self, channels: usize) -> Option<ResumePoint> {
        let common_start = self
            .common_start
            .filter(|_| self.has_resumed && !self.is_exact && !self.is_start_raised)?;
        if self
            .event_id
            .as_deref()
            .and_then(MessageId::parse)
            .is_some()
        {
            return None;
        }
        // With several tags, one is in brackets.
        let tags = match channels {
            1 => LAST_TAG.to_owned(),
            _ => format!(
                "[{LAST_TAG}]{}",
                format!(",{LAST_TAG}").repeat(channels - 1)
            ),
        };
        // The second of the start is included. nchan ignores an id with time 0.
        let id = MessageId {
            time: common_start.time.saturating_sub(1).max(1),
            tags,
        };
        Some(ResumePoint {
            time: None,
            tag: Some(id.to_string()),
            event_id: None,
        })
    }

    /// Returns the resume point for an endless connection to `channels`.
    pub fn for_stream(&mut self, channels: &[String]) -> ResumePoint {
        let own = |channel: &String| {
            self.channels
                .get(channel)
                .and_then(|last| last.position)
                .or(self.common_start)
        };
        let needed = |channel: &String| own(channel).max(self.common_position);
        // A backtrack takes precedence over the position (push-stream.md, section 7.1).
        let oldest = channels
            .iter()
            .filter(|channel| !self.backlogs.contains_key(*channel))
            .filter_map(needed)
            .min();
        self.resume_from(oldest)
    }

    /// Returns the resume point for the next poll: the headers of the last response. If it had no
    /// `Etag` (an old server, or a proxy that drops it), the position of the newest message,
    /// because the oldest one would get the same response for ever. If the last response was cut
    /// off, `channels` may have different positions.
    pub fn for_request(&mut self, channels: &[String]) -> ResumePoint {
        if !self.is_common() {
            return self.for_stream(channels);
        }
        let newest = self
            .channels
            .values()
            .filter_map(|last| last.position)
            .max();
        match (&self.last_poll, newest) {
            (
                Some(PollHeaders {
                    last_modified,
                    etag,
                }),
                newest,
            ) if etag.is_some() || newest.is_none() => {
                self.has_resumed = true;
                ResumePoint {
                    time: Some(last_modified.clone()),
                    tag: etag.clone(),
                    event_id: self.event_id.clone(),
                }
            }
            _ => self.resume_from(newest.or(self.common_start)),
        }
    }

    fn resume_from(&mut self, position: Option<Position>) -> ResumePoint {
        self.has_resumed |= position.is_some();
        ResumePoint {
            time: position.map(|position| http_date(position.time)),
            tag: position.map(|position| format!("W/{}", position.tag)),
            event_id: self.event_id.clone(),
        }
    }
}
