//! Resume points: what a request sends so that the server continues after the last message.

use crate::client::dialect::{Dialect, MessageId};
use crate::message::{Position, http_date};

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

impl ResumePoint {
    /// After the message at `position`, or after an event id.
    pub(super) fn new(position: Option<Position>, event_id: Option<String>) -> Self {
        Self {
            time: position.map(|position| http_date(position.time)),
            tag: position.map(|position| format!("W/{}", position.tag)),
            event_id,
        }
    }

    /// After a message of NHPM or nchan.
    pub(super) fn of_message_id(id: MessageId, dialect: Option<Dialect>) -> Self {
        match dialect {
            Some(Dialect::Nhpm) => Self {
                time: Some(http_date(id.time)),
                tag: Some(id.tags),
                event_id: None,
            },
            // The one form that all locations of nchan read, whatever their configuration.
            _ => Self {
                time: None,
                tag: Some(id.to_string()),
                event_id: None,
            },
        }
    }
}
