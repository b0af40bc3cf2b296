//! Where a subscription stands: what to tell the server when connecting, and which messages were
//! seen before.
//!
//! Long-polling and polling work like every listener of these modules: `Last-Modified` and `Etag`
//! go back as `If-Modified-Since` and `If-None-Match`, letter by letter. The endless modes have no
//! such headers per message; there the position is that of the messages. With several channels it
//! is the *oldest* position that any of them still needs, because after connecting the server sends
//! one channel's messages after the other's, and the connection may have broken between them; what
//! a channel has already given is then recognised by its own position and id.
//!
//! A subscription to new messages only has no position before the first message. It then starts
//! from the server's `Date` when the subscription was answered, with tag 0: nothing is lost, and at
//! worst a reconnect before the first message also brings the messages of that same second. A
//! channel that was asked for with a backlog is asked for with it again until it has given
//! something, or the backlog is known to have come whole: what is older than the start is wanted
//! there. Messages that carry neither position nor id (a bare template) cannot be told apart, so a
//! reconnect may repeat those of the last second. What the ids of messages show is in `sequence`.
//! Pure.

mod sequence;

use std::collections::{HashMap, HashSet};

use super::Message;
use super::dialect::{Dialect, MessageId};
use super::marks::{Mark, Marks, Step};
use super::message::Gap;
use crate::message::{Position, http_date, parse_http_date};

pub use sequence::Missing;
use sequence::{Order, Sequence};

/// The state of one subscription.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// Where channels start that have given nothing yet.
    base: Option<Position>,
    /// True once a connection was made from `base`: older messages are then none that we asked for.
    resumed: bool,
    channels: HashMap<String, Mark>,
    answer: Option<ResponseHead>,
    /// Where the last whole answer left all channels.
    stands: Option<Position>,
    /// True if messages came by another way than by answers since the last one, so that its headers
    /// are old.
    is_outrun: bool,
    /// True if an answer was cut off, so that the last one's headers do not tell where all channels
    /// stand.
    is_cut: bool,
    /// Channels that have not given their backlog yet, and its length.
    backlogs: HashMap<String, u64>,
    event_id: Option<String>,
    /// It begins after an event id: messages from before the start are wanted.
    begins_at_event: bool,
    /// The start was handed out as a step.
    start_told: bool,
    /// The server speaks NHPM or nchan: tags count from 0, and the last message's id says where all
    /// channels stand.
    is_bare: bool,
    /// The start is behind the message of its position, not at the beginning of its second.
    is_exact: bool,
    /// Messages come in an answer whose last one alone tells its id.
    is_batch: bool,
    /// The start was moved by messages without an id.
    is_raised: bool,
    sequence: Sequence,
    /// Channels with a gap of unknown size that was reported since their last message.
    reported: HashSet<String>,
}

/// A tag of nchan and NHPM behind all messages of a second.
const LAST_TAG: &str = "9999";

#[derive(Clone, Debug)]
struct ResponseHead {
    last_modified: String,
    etag: Option<String>,
}

/// A message that is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How it moves the marks.
    pub step: Step,
    /// Messages of its channel that should have come before it.
    pub missing: Option<Missing>,
}

impl From<Step> for Taken {
    fn from(step: Step) -> Self {
        Self {
            step,
            missing: None,
        }
    }
}

/// What to send when connecting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// `If-Modified-Since` and `time`
    pub time: Option<String>,
    /// `If-None-Match` and `tag`
    pub tag: Option<String>,
    /// `Last-Event-ID` and `eventid`
    pub event_id: Option<String>,
}

impl Cursor {
    /// A cursor that starts with the messages of second `since`.
    #[must_use]
    pub fn since(since: u64) -> Self {
        Self {
            is_exact: false,
            ..Self::after(Position::new(since, 0))
        }
    }

    /// A cursor that starts behind `position`.
    #[must_use]
    pub fn after(position: Position) -> Self {
        Self {
            base: Some(position),
            resumed: true,
            is_exact: true,
            ..Self::default()
        }
    }

    /// A cursor that starts behind the message with this event id.
    #[must_use]
    pub fn after_event(event_id: String) -> Self {
        Self {
            event_id: Some(event_id),
            begins_at_event: true,
            ..Self::default()
        }
    }

    /// A cursor that goes on at `marks`.
    #[must_use]
    pub fn at(marks: Marks) -> Self {
        Self {
            base: marks.start,
            resumed: true,
            is_outrun: true,
            start_told: marks.start.is_some(),
            begins_at_event: marks.start.is_none()
                && marks.channels.is_empty()
                && marks.event_id.is_some(),
            channels: marks.channels.into_iter().collect(),
            event_id: marks.event_id,
            ..Self::default()
        }
    }

    /// True if the first request has to say where to start.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.resumed || self.begins_at_event
    }

    /// The start, once it is known and no backlog is outstanding; once.
    pub fn start(&mut self) -> Option<Step> {
        if self.backlogs.is_empty() {
            self.start_without_backlogs()
        } else {
            None
        }
    }

    /// The same cursor, with stored messages to get before the new ones of some channels.
    #[must_use]
    pub fn with_backlogs(mut self, backlogs: impl IntoIterator<Item = (String, u64)>) -> Self {
        self.backlogs.extend(backlogs);
        self
    }

    /// The stored messages that `channel` is still to start with.
    #[must_use]
    pub fn backlog(&self, channel: &str) -> Option<u64> {
        self.backlogs.get(channel).copied()
    }

    /// All backlogs have come: the messages of an answer were taken, or the connection was up for a
    /// good while.
    pub fn backlogs_came(&mut self) {
        if !self.is_cut {
            self.backlogs.clear();
        }
    }

    /// The server's clock when it answered the first request; it matters only as long as nothing
    /// better is known.
    pub fn answered_at(&mut self, date: u64) {
        self.base.get_or_insert(Position::new(date, 0));
    }

    /// The server speaks NHPM or nchan.
    pub fn becomes_bare(&mut self) {
        self.is_bare = true;
    }

    /// The messages that follow are one answer of NHPM or nchan; its last one tells where they end.
    /// False if they all are older than the start.
    pub fn begins_batch(&mut self, last: &Message) -> bool {
        self.is_batch = true;
        let mark = last
            .channel
            .as_ref()
            .and_then(|channel| self.channels.get(channel))
            .copied();
        !self.is_before_start(last, mark.unwrap_or_default())
    }

    /// The answer was taken.
    pub fn ends_batch(&mut self) {
        self.is_batch = false;
    }

    /// What to send to a server that speaks NHPM or nchan: the id of the last message. Without one
    /// nothing is sent, so the location says where it begins, and what is older than our start is
    /// left out: nchan 1.3 falls over a place in a channel that is there and has no messages
    /// (nhpm-nchan.md, section 2.3).
    pub fn for_bare(&mut self, dialect: Option<Dialect>) -> Sent {
        let start = self
            .base
            .and_then(|base| match (self.is_exact, self.is_raised) {
                (true, _) => Some(MessageId {
                    time: base.time,
                    tags: base.tag.to_string(),
                }),
                (false, true) => Some(MessageId {
                    time: base.time.saturating_sub(1),
                    tags: LAST_TAG.to_owned(),
                }),
                (false, false) => None,
            });
        let Some(id) = self
            .event_id
            .as_deref()
            .and_then(MessageId::parse)
            .or(start)
        else {
            return Sent::default();
        };
        match dialect {
            Some(Dialect::Nhpm) => Sent {
                time: Some(http_date(id.time)),
                tag: Some(id.tags),
                event_id: None,
            },
            // The one form that all locations of nchan read, however they are configured.
            _ => Sent {
                time: None,
                tag: Some(id.to_string()),
                event_id: None,
            },
        }
    }

    /// The start as a place for a server that speaks nchan, if [`Self::for_bare`] leaves it out: to
    /// be sent only if the channels (so many) have messages.
    #[must_use]
    pub fn unsent_start(&self, channels: usize) -> Option<Sent> {
        let base = self
            .base
            .filter(|_| self.resumed && !self.is_exact && !self.is_raised)?;
        if self
            .event_id
            .as_deref()
            .and_then(MessageId::parse)
            .is_some()
        {
            return None;
        }
        // Of several tags one is in brackets.
        let tags = match channels {
            1 => LAST_TAG.to_owned(),
            _ => format!(
                "[{LAST_TAG}]{}",
                format!(",{LAST_TAG}").repeat(channels - 1)
            ),
        };
        // Its second itself is wanted. A time of 0 is none to nchan.
        let id = MessageId {
            time: base.time.saturating_sub(1).max(1),
            tags,
        };
        Some(Sent {
            time: None,
            tag: Some(id.to_string()),
            event_id: None,
        })
    }

    /// True if there is nothing that a reconnect could start from.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.base.is_none()
            && self.answer.is_none()
            && self.channels.is_empty()
            && !self.begins_at_event
    }

    /// A connection was opened with what the last `for_…` function returned; `is_exact` if that was
    /// a place behind which the server has nothing that was seen.
    pub fn connected(&mut self, is_exact: bool) {
        self.sequence.connected(is_exact);
    }

    /// A long-polling or polling answer was cut off: its messages count, its headers do not.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Messages come from an endless connection now.
    pub fn outrun(&mut self) {
        self.is_outrun = true;
    }

    /// True if a request says where all channels stand, and not only where the oldest does.
    #[must_use]
    pub fn is_common(&self) -> bool {
        !self.is_cut && !self.is_outrun
    }

    /// The headers of a long-polling or polling answer. An answer without `Last-Modified` changes
    /// nothing.
    pub fn answered(&mut self, last_modified: Option<&str>, etag: Option<&str>) -> Option<Step> {
        self.is_cut = false;
        let last_modified = last_modified?;
        self.is_outrun = false;
        self.answer = Some(ResponseHead {
            last_modified: last_modified.to_owned(),
            etag: etag.map(str::to_owned),
        });
        let tag = etag?.trim_start_matches("W/").parse().ok()?;
        let position = Position::new(parse_http_date(last_modified.as_bytes())?, tag);
        self.stands = Some(position);
        Some(Step::All(position))
    }

    /// What to send for an endless connection to `channels`.
    pub fn for_stream(&mut self, channels: &[String]) -> Sent {
        let own = |channel: &String| {
            self.channels
                .get(channel)
                .and_then(|last| last.position)
                .or(self.base)
        };
        let needed = |channel: &String| own(channel).max(self.stands);
        // A backtrack goes before the cursor (push-stream.md, section 7.1).
        let oldest = channels
            .iter()
            .filter(|channel| !self.backlogs.contains_key(*channel))
            .filter_map(needed)
            .min();
        self.send(oldest)
    }

    /// What to send with the next long-polling or polling request: the headers of the last answer.
    /// If it had no `Etag` (an old server, or a proxy that swallows it), the newest message's
    /// position; the oldest needed one would bring the same answer for ever. If the last answer was
    /// cut off, some of `channels` may stand behind others.
    pub fn for_request(&mut self, channels: &[String]) -> Sent {
        if !self.is_common() {
            return self.for_stream(channels);
        }
        let newest = self
            .channels
            .values()
            .filter_map(|last| last.position)
            .max();
        match (&self.answer, newest) {
            (
                Some(ResponseHead {
                    last_modified,
                    etag,
                }),
                newest,
            ) if etag.is_some() || newest.is_none() => {
                self.resumed = true;
                Sent {
                    time: Some(last_modified.clone()),
                    tag: etag.clone(),
                    event_id: self.event_id.clone(),
                }
            }
            _ => self.send(newest.or(self.base)),
        }
    }

    fn send(&mut self, position: Option<Position>) -> Sent {
        self.resumed |= position.is_some();
        Sent {
            time: position.map(|position| http_date(position.time)),
            tag: position.map(|position| format!("W/{}", position.tag)),
            event_id: self.event_id.clone(),
        }
    }

    /// Notes a message of `channel`, received when the server's clock showed about `now`; `None` if
    /// it was seen before.
    pub fn take(
        &mut self,
        message: &Message,
        channel: Option<&str>,
        now: Option<u64>,
    ) -> Option<Taken> {
        if let Some(event_id) = &message.event_id {
            self.event_id = Some(event_id.clone());
        }
        let position = message.position();
        let Some(channel) = channel else {
            // Nobody knows whose it is, so it can only move the common start.
            self.base = self.base.max(position);
            self.backlogs.clear();
            return Some(Step::Raise(position).into());
        };
        let last = self.channels.get(channel).copied().unwrap_or_default();
        let is_backlog = self.backlogs.contains_key(channel);
        let order = self.sequence.order(message, channel, last);
        if matches!(order, Order::Repeated) || (!is_backlog && self.is_before_start(message, last))
        {
            return None;
        }
        self.backlogs.remove(channel);
        self.reported.remove(channel);
        if position.is_none() && message.id.is_none() {
            if self.is_batch {
                return Some(Step::Raise(None).into());
            }
            let second_ago = now.map(|now| Position::new(now.saturating_sub(1), 0));
            self.is_raised = true;
            self.base = self.base.max(second_ago);
            return Some(Step::Raise(second_ago).into());
        }
        if matches!(order, Order::Late) {
            self.sequence.fill(channel, message.id);
            return Some(Step::Message(channel.to_owned(), last, message.event_id.clone()).into());
        }
        let missing = self.sequence.missing(message, channel, last, order);
        let mark = Mark {
            position: position.or(last.position),
            id: message.id.or(last.id),
        };
        self.channels.insert(channel.to_owned(), mark);
        Some(Taken {
            step: Step::Message(channel.to_owned(), mark, message.event_id.clone()),
            missing,
        })
    }

    /// Notes that the server has dropped messages of `channel` up to `position`; `None` if none of
    /// them was still needed. The next message is then no sign of a further gap. A gap of unknown
    /// size is reported once until then.
    pub fn skip(&mut self, channel: &str, position: Option<Position>, gap: Gap) -> Option<Step> {
        let last = self.channels.get(channel).copied().unwrap_or_default();
        // Where several channels stand apart, the server was asked for the oldest place. The start
        // of a cursor that begins at an event id is only the time of the request: what the server
        // reports may lie before it.
        let own = last
            .position
            .or(self.base.filter(|_| !self.begins_at_event));
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

    /// As [`Cursor::skip`], when it is not known which of `channels` have a gap; false if it was
    /// reported before.
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

    /// The start, although backlogs are outstanding: the server has had time to give them and gave
    /// nothing.
    pub fn start_without_backlogs(&mut self) -> Option<Step> {
        if self.start_told || self.begins_at_event {
            return None;
        }
        let start = self.base?;
        self.start_told = true;
        Some(Step::Start(start))
    }

    fn is_before_start(&self, message: &Message, last: Mark) -> bool {
        let unseen = last.position.is_none() && last.id.is_none();
        if self.is_bare {
            // The server was asked for what is behind an exact place; here it is about whole
            // seconds.
            return unseen
                && message
                    .position()
                    .zip(self.base)
                    .is_some_and(|(position, base)| position.time < base.time);
        }
        match (message.position(), self.base) {
            (Some(position), Some(base)) => {
                self.resumed && !self.begins_at_event && unseen && position <= base
            }
            _ => false,
        }
    }

    /// Forgets a deleted channel: if it comes back, it counts from 1 again.
    pub fn forget(&mut self, channel: &str) {
        self.channels.remove(channel);
        self.backlogs.remove(channel);
        self.sequence.forget(channel);
    }
}

#[cfg(test)]
mod tests;
