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

mod accepted;
pub mod marks;
mod poll_position;
mod resume_point;
mod sequence;
mod start;

use std::collections::{HashMap, HashSet};

use self::marks::{Mark, Marks, Step};
use self::poll_position::PollPosition;
use self::sequence::{IdOrder, IdSequence};
use self::start::CursorStart;
use super::dialect::{Dialect, MessageId};
use super::message::{Gap, Message};
use crate::message::Position;

pub use accepted::AcceptedMessage;
pub use resume_point::ResumePoint;
pub use sequence::Missing;

/// The state of one subscription.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// Start of channels that have not delivered a message yet.
    start: CursorStart,
    channels: HashMap<String, Mark>,
    poll: PollPosition,
    /// Channels whose backlog has not arrived, with its length.
    backlogs: HashMap<String, u64>,
    event_id: Option<String>,
    /// The server speaks NHPM or nchan: tags count from 0, and the id of the last message is the
    /// position of all channels.
    is_unframed: bool,
    /// The messages belong to one response in which only the last one has an id.
    is_in_batch: bool,
    sequence: IdSequence,
    /// Channels with a gap of unknown size that was reported since their last message.
    reported: HashSet<String>,
}

impl Cursor {
    /// Returns a cursor that starts with the messages of the unix second `since`.
    #[must_use]
    pub fn since(since: u64) -> Self {
        Self {
            start: CursorStart::at(Position::new(since, 0), false),
            ..Self::default()
        }
    }

    /// Returns a cursor that starts after `position`.
    #[must_use]
    pub fn after(position: Position) -> Self {
        Self {
            start: CursorStart::at(position, true),
            ..Self::default()
        }
    }

    /// Returns a cursor that starts after the message with this event id.
    #[must_use]
    pub fn after_event(event_id: String) -> Self {
        Self {
            event_id: Some(event_id),
            start: CursorStart::after_event(),
            ..Self::default()
        }
    }

    /// Returns a cursor that resumes at `marks`.
    #[must_use]
    pub fn at(marks: Marks) -> Self {
        let is_event =
            marks.start.is_none() && marks.channels.is_empty() && marks.event_id.is_some();
        Self {
            start: CursorStart::resumed(marks.start, is_event),
            poll: PollPosition::outdated(),
            channels: marks.channels.into_iter().collect(),
            event_id: marks.event_id,
            ..Self::default()
        }
    }

    /// True if the first request has to send a position.
    #[must_use]
    pub fn has_position(&self) -> bool {
        self.start.must_be_sent()
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
        if !self.poll.is_cut() {
            self.backlogs.clear();
        }
    }

    /// Records the server's clock at its first response. It has no effect if a better start is
    /// known.
    pub fn record_server_clock(&mut self, date: u64) {
        self.start.record_clock(date);
    }

    /// Records that the server speaks NHPM or nchan.
    pub fn set_unframed(&mut self) {
        self.is_unframed = true;
    }

    /// True if the server speaks NHPM or nchan.
    #[must_use]
    pub fn is_unframed(&self) -> bool {
        self.is_unframed
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
        self.start.is_unknown() && !self.poll.is_known() && self.channels.is_empty()
    }

    /// Records that a request was sent with the last resume point; `is_exact` if the server has no
    /// already received message after that point.
    pub fn record_request(&mut self, is_exact: bool) {
        self.sequence.begin_connection(is_exact);
    }

    /// Records that a poll response was cut off: its messages count, its headers do not.
    pub fn record_cut_poll(&mut self) {
        self.poll.record_cut();
    }

    /// Records that messages arrive on an endless connection.
    pub fn record_endless_connection(&mut self) {
        self.poll.record_endless_connection();
    }

    /// True if a request sends the position of all channels, not only that of the oldest.
    #[must_use]
    pub fn is_common(&self) -> bool {
        self.poll.is_common()
    }

    /// Records the headers of a poll response. A response without `Last-Modified` changes nothing.
    pub fn record_poll(&mut self, last_modified: Option<&str>, etag: Option<&str>) -> Option<Step> {
        self.poll.record(last_modified, etag).map(Step::All)
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
            self.start.raise(position);
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
            self.start.raise_to_estimate(second_ago);
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
        // If channels have different positions, the request had the oldest one.
        let own = last.position.or(self.start.lower_bound());
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
        self.start.report().map(Step::Start)
    }

    fn is_before_start(&self, message: &Message, last: Mark) -> bool {
        let is_unseen = last.position.is_none() && last.id.is_none();
        is_unseen
            && message.position().is_some_and(|position| {
                if self.is_unframed {
                    self.start.is_in_later_second(position)
                } else {
                    self.start.is_at_or_after(position)
                }
            })
    }

    /// Returns the resume point for NHPM and nchan: the id of the last message. Without an id
    /// nothing is sent, so the location decides where to start, and older messages are dropped by
    /// the cursor: nchan 1.3 crashes on a message id in a channel that exists and has no messages
    /// (nhpm-nchan.md, section 2.3).
    #[must_use]
    pub fn for_unframed(&self, dialect: Option<Dialect>) -> ResumePoint {
        self.last_message_id()
            .or_else(|| self.start.message_id())
            .map_or_else(ResumePoint::default, |id| {
                ResumePoint::of_message_id(id, dialect)
            })
    }

    /// Returns the start as a message id of nchan if [`Self::for_unframed`] leaves it out. It must
    /// be sent only if all of the `channels` have messages.
    #[must_use]
    pub fn unsent_start(&self, channels: usize) -> Option<ResumePoint> {
        if self.last_message_id().is_some() {
            return None;
        }
        let id = self.start.omitted_message_id(channels)?;
        Some(ResumePoint::of_message_id(id, Some(Dialect::Nchan)))
    }

    fn last_message_id(&self) -> Option<MessageId> {
        self.event_id.as_deref().and_then(MessageId::parse)
    }

    /// Returns the resume point for an endless connection to `channels`.
    pub fn for_stream(&mut self, channels: &[String]) -> ResumePoint {
        let needed = |channel: &String| {
            let last = self.channels.get(channel).and_then(|last| last.position);
            last.or(self.start.position()).max(self.poll.common())
        };
        // A backtrack takes precedence over the position (push-stream.md, section 7.1).
        let oldest = channels
            .iter()
            .filter(|channel| !self.backlogs.contains_key(*channel))
            .filter_map(needed)
            .min();
        self.resume_from(oldest)
    }

    /// Returns the resume point for the next poll: the headers of the last response. If it had no
    /// `Etag`, the position of the newest message, because the oldest one would get the same
    /// response for ever. If the last response was cut off, `channels` may have different
    /// positions.
    pub fn for_request(&mut self, channels: &[String]) -> ResumePoint {
        if !self.is_common() {
            return self.for_stream(channels);
        }
        let positions = self.channels.values().filter_map(|last| last.position);
        let newest = positions.max();
        match self
            .poll
            .resume_point(newest.is_none(), self.event_id.as_ref())
        {
            Some(point) => {
                self.start.record_resume();
                point
            }
            None => self.resume_from(newest.or(self.start.position())),
        }
    }

    fn resume_from(&mut self, position: Option<Position>) -> ResumePoint {
        if position.is_some() {
            self.start.record_resume();
        }
        ResumePoint::new(position, self.event_id.clone())
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
