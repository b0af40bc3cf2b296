//! The position of a subscription: what a request sends to resume, and which messages are new.
//!
//! Long-polling and polling work like every subscriber of nginx-push-stream-module: `Last-Modified`
//! and `Etag` go back unchanged as `If-Modified-Since` and `If-None-Match`. The endless modes have
//! no such headers per message, so there the position is that of the messages. With several
//! channels it is the *oldest* position that any channel still needs: after a reconnect the server
//! sends the channels one after the other, and the connection may have broken in between. Messages
//! that a channel has already delivered are recognised by their own position and id.
//!
//! A subscription to new messages only has no position before the first message. It then starts
//! from the `Date` of the server's response, with tag 0: nothing is lost, and at worst a reconnect
//! before the first message repeats the messages of that second. A backlog is older than the start,
//! so it is requested again until its channel has delivered a message or the backlog is complete.
//! Messages with neither position nor id (a template without these fields) cannot be distinguished,
//! so a reconnect may repeat those of the last second. Ids are evaluated in `sequence`. Does no
//! I/O.

pub mod marks;
mod resume_point;
mod sequence;

use std::collections::{HashMap, HashSet};

use self::marks::{Mark, Marks, Step};
use super::message::Gap;
use super::message::Message;
use crate::message::{Position, parse_http_date};

pub use resume_point::ResumePoint;
pub use sequence::Missing;
use sequence::{IdOrder, IdSequence};

/// The state of one subscription.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// Start of channels that have not delivered a message yet.
    common_start: Option<Position>,
    /// True once a request was sent from `common_start`: older messages were then not requested.
    has_resumed: bool,
    channels: HashMap<String, Mark>,
    last_poll: Option<PollHeaders>,
    /// Position of all channels after the last complete poll response.
    common_position: Option<Position>,
    /// True if messages arrived on an endless connection since the last poll response, so that its
    /// headers are outdated.
    is_poll_outdated: bool,
    /// True if a poll response was cut off, so that the headers of the last one are not the
    /// position of all channels.
    is_poll_cut: bool,
    /// Channels whose backlog has not arrived, with its length.
    backlogs: HashMap<String, u64>,
    event_id: Option<String>,
    /// The subscription starts after an event id: messages older than the start are wanted.
    begins_at_event: bool,
    /// The start was returned as a step.
    has_reported_start: bool,
    /// The server speaks NHPM or nchan: tags count from 0, and the id of the last message is the
    /// position of all channels.
    is_unframed: bool,
    /// The start is after the message at its position, not at the beginning of its second.
    is_exact: bool,
    /// The messages belong to one response in which only the last one has an id.
    is_in_batch: bool,
    /// The start was advanced by messages without an id.
    is_start_raised: bool,
    sequence: IdSequence,
    /// Channels with a gap of unknown size that was reported since their last message.
    reported: HashSet<String>,
}

#[derive(Clone, Debug)]
struct PollHeaders {
    last_modified: String,
    etag: Option<String>,
}

/// A message that was not received before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedMessage {
    /// How the message moves the marks.
    pub step: Step,
    /// The gap between the previous message of the channel and this one.
    pub missing: Option<Missing>,
}

impl From<Step> for AcceptedMessage {
    fn from(step: Step) -> Self {
        Self {
            step,
            missing: None,
        }
    }
}

impl Cursor {
    /// Returns a cursor that starts with the messages of the unix second `since`.
    #[must_use]
    pub fn since(since: u64) -> Self {
        Self {
            is_exact: false,
            ..Self::after(Position::new(since, 0))
        }
    }

    /// Returns a cursor that starts after `position`.
    #[must_use]
    pub fn after(position: Position) -> Self {
        Self {
            common_start: Some(position),
            has_resumed: true,
            is_exact: true,
            ..Self::default()
        }
    }

    /// Returns a cursor that starts after the message with this event id.
    #[must_use]
    pub fn after_event(event_id: String) -> Self {
        Self {
            event_id: Some(event_id),
            begins_at_event: true,
            ..Self::default()
        }
    }

    /// Returns a cursor that resumes at `marks`.
    #[must_use]
    pub fn at(marks: Marks) -> Self {
        Self {
            common_start: marks.start,
            has_resumed: true,
            is_poll_outdated: true,
            has_reported_start: marks.start.is_some(),
            begins_at_event: marks.start.is_none()
                && marks.channels.is_empty()
                && marks.event_id.is_some(),
            channels: marks.channels.into_iter().collect(),
            event_id: marks.event_id,
            ..Self::default()
        }
    }

    /// True if the first request has to send a position.
    #[must_use]
    pub fn has_position(&self) -> bool {
        self.has_resumed || self.begins_at_event
    }

    /// Returns the start, once, as soon as it is known and no backlog is outstanding.
    pub fn start(&mut self) -> Option<Step> {
        if self.backlogs.is_empty() {
            self.start_without_backlogs()
        } else {
            None
        }
    }

    /// Adds stored messages that some channels deliver before new ones.
    #[must_use]
    pub fn with_backlogs(mut self, backlogs: impl IntoIterator<Item = (String, u64)>) -> Self {
        self.backlogs.extend(backlogs);
        self
    }

    /// Number of stored messages that `channel` still has to deliver.
    #[must_use]
    pub fn backlog(&self, channel: &str) -> Option<u64> {
        self.backlogs.get(channel).copied()
    }

    /// Records that all backlogs are complete: the messages of a poll response were accepted, or
    /// the connection was up long enough.
    pub fn complete_backlogs(&mut self) {
        if !self.is_poll_cut {
            self.backlogs.clear();
        }
    }

    /// Records the server's clock at its first response. It has no effect if a better start is
    /// known.
    pub fn record_server_clock(&mut self, date: u64) {
        self.common_start.get_or_insert(Position::new(date, 0));
    }

    /// Records that the server speaks NHPM or nchan.
    pub fn set_unframed(&mut self) {
        self.is_unframed = true;
    }

    /// Starts a batch: the messages of one response of NHPM or nchan, in which only the last one
    /// has an id. Returns false if all of them are older than the start.
    pub fn begin_batch(&mut self, last: &Message) -> bool {
        self.is_in_batch = true;
        let mark = last
            .channel
            .as_ref()
            .and_then(|channel| self.channels.get(channel))
            .copied();
        !self.is_before_start(last, mark.unwrap_or_default())
    }

    /// Ends the batch.
    pub fn end_batch(&mut self) {
        self.is_in_batch = false;
    }

    /// True if a reconnect would have no position to resume from.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.common_start.is_none()
            && self.last_poll.is_none()
            && self.channels.is_empty()
            && !self.begins_at_event
    }

    /// Records that a request was sent with the last resume point; `is_exact` if the server has no
    /// already received message after that point.
    pub fn record_request(&mut self, is_exact: bool) {
        self.sequence.begin_connection(is_exact);
    }

    /// Records that a poll response was cut off: its messages count, its headers do not.
    pub fn record_cut_poll(&mut self) {
        self.is_poll_cut = true;
    }

    /// Records that messages arrive on an endless connection.
    pub fn record_endless_connection(&mut self) {
        self.is_poll_outdated = true;
    }

    /// True if a request sends the position of all channels, not only that of the oldest.
    #[must_use]
    pub fn is_common(&self) -> bool {
        !self.is_poll_cut && !self.is_poll_outdated
    }

    /// Records the headers of a poll response. A response without `Last-Modified` changes nothing.
    pub fn record_poll(&mut self, last_modified: Option<&str>, etag: Option<&str>) -> Option<Step> {
        self.is_poll_cut = false;
        let last_modified = last_modified?;
        self.is_poll_outdated = false;
        self.last_poll = Some(PollHeaders {
            last_modified: last_modified.to_owned(),
            etag: etag.map(str::to_owned),
        });
        let tag = etag?.trim_start_matches("W/").parse().ok()?;
        let position = Position::new(parse_http_date(last_modified.as_bytes())?, tag);
        self.common_position = Some(position);
        Some(Step::All(position))
    }

    /// Records a message of `channel`; `now` is the server's clock, approximately. Returns `None`
    /// if the message was received before.
    pub fn record_message(
        &mut self,
        message: &Message,
        channel: Option<&str>,
        now: Option<u64>,
    ) -> Option<AcceptedMessage> {
        if let Some(event_id) = &message.event_id {
            self.event_id = Some(event_id.clone());
        }
        let position = message.position();
        let Some(channel) = channel else {
            // The channel is unknown, so the message can only advance the common start.
            self.common_start = self.common_start.max(position);
            self.backlogs.clear();
            return Some(Step::Raise(position).into());
        };
        let last = self.channels.get(channel).copied().unwrap_or_default();
        let is_backlog = self.backlogs.contains_key(channel);
        let order = self.sequence.classify(message, channel, last);
        if matches!(order, IdOrder::Repeated)
            || (!is_backlog && self.is_before_start(message, last))
        {
            return None;
        }
        self.backlogs.remove(channel);
        self.reported.remove(channel);
        if position.is_none() && message.id.is_none() {
            if self.is_in_batch {
                return Some(Step::Raise(None).into());
            }
            let second_ago = now.map(|now| Position::new(now.saturating_sub(1), 0));
            self.is_start_raised = true;
            self.common_start = self.common_start.max(second_ago);
            return Some(Step::Raise(second_ago).into());
        }
        if matches!(order, IdOrder::Late) {
            self.sequence.record_late(channel, message.id);
            return Some(Step::Message(channel.to_owned(), last, message.event_id.clone()).into());
        }
        let missing = self.sequence.detect_gap(message, channel, last, order);
        let mark = Mark {
            position: position.or(last.position),
            id: message.id.or(last.id),
        };
        self.channels.insert(channel.to_owned(), mark);
        Some(AcceptedMessage {
            step: Step::Message(channel.to_owned(), mark, message.event_id.clone()),
            missing,
        })
    }

    /// Records that the server has dropped messages of `channel` up to `position`. Returns `None`
    /// if none of them was needed. The next message then does not indicate another gap. A gap of
    /// unknown size is reported only once before the next message.
    pub fn skip(&mut self, channel: &str, position: Option<Position>, gap: Gap) -> Option<Step> {
        let last = self.channels.get(channel).copied().unwrap_or_default();
        // If channels have different positions, the request had the oldest one. The start of a
        // cursor that begins at an event id is only the time of the request: the reported gap may
        // be before it.
        let own = last
            .position
            .or(self.common_start.filter(|_| !self.begins_at_event));
        if position
            .zip(own)
            .is_some_and(|(position, own)| position <= own)
        {
            return None;
        }
        if gap.is_unknown() && !self.reported.insert(channel.to_owned()) {
            return None;
        }
        let mark = Mark {
            position: position.or(last.position),
            id: None,
        };
        self.channels.insert(channel.to_owned(), mark);
        Some(Step::Message(channel.to_owned(), mark, None))
    }

    /// Like [`Cursor::skip`] if it is unknown which of `channels` has the gap. Returns false if the
    /// gap was reported before.
    pub fn skip_somewhere(&mut self, channels: &[String], gap: Gap) -> bool {
        if gap.is_unknown()
            && channels
                .iter()
                .all(|channel| self.reported.contains(channel))
        {
            return false;
        }
        if gap.is_unknown() {
            self.reported.extend(channels.iter().cloned());
        }
        self.channels.values_mut().for_each(|last| last.id = None);
        true
    }

    /// Returns the start although backlogs are outstanding: the server had time to send them and
    /// sent nothing.
    pub fn start_without_backlogs(&mut self) -> Option<Step> {
        if self.has_reported_start || self.begins_at_event {
            return None;
        }
        let start = self.common_start?;
        self.has_reported_start = true;
        Some(Step::Start(start))
    }

    fn is_before_start(&self, message: &Message, last: Mark) -> bool {
        let unseen = last.position.is_none() && last.id.is_none();
        if self.is_unframed {
            // The server was sent an exact id; here only whole seconds are compared.
            return unseen
                && message
                    .position()
                    .zip(self.common_start)
                    .is_some_and(|(position, common_start)| position.time < common_start.time);
        }
        match (message.position(), self.common_start) {
            (Some(position), Some(common_start)) => {
                self.has_resumed && !self.begins_at_event && unseen && position <= common_start
            }
            _ => false,
        }
    }

    /// Forgets a deleted channel: if it is created again, its ids count from 1.
    pub fn forget(&mut self, channel: &str) {
        self.channels.remove(channel);
        self.backlogs.remove(channel);
        self.sequence.forget(channel);
    }
}

#[cfg(test)]
mod tests;
