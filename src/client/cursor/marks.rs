//! Marks: the position up to which a caller has handled the messages of a subscription, so that a
//! later subscription resumes there. Does no I/O.
//!
//! The [`Cursor`](super::Cursor) of the subscription is ahead: it records received messages. Every
//! event has a [`Step`], which the caller records here after handling the event. Messages that were
//! received but not handled are delivered again.

use std::collections::BTreeMap;

use crate::message::Position;

/// The position of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Time and tag of the last message.
    pub position: Option<Position>,
    /// Id of the last message.
    pub id: Option<i64>,
}

/// How an event moves the marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start of channels without a message. Once it is known, backlogs are no longer requested.
    Start(Position),
    /// A message of this channel, with its event id.
    Message(String, Mark, Option<String>),
    /// A message without position and id: the common start advances to this position.
    Raise(Option<Position>),
    /// A complete poll response: the position of all channels.
    All(Position),
    /// The channel was deleted.
    Forget(String),
}

/// The positions of a set of channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Start of channels without a message; `None` while it is unknown or their backlogs are
    /// outstanding.
    pub start: Option<Position>,
    /// The channels that delivered a message.
    pub channels: BTreeMap<String, Mark>,
    /// The last event id.
    pub event_id: Option<String>,
}

impl Marks {
    /// Records that an event was handled.
    pub fn record(&mut self, step: Step) {
        match step {
            Step::Start(position) => self.start = self.start.or(Some(position)),
            Step::Raise(position) => self.start = self.start.max(position),
            Step::Message(channel, mark, event_id) => {
                self.event_id = event_id.or(self.event_id.take());
                self.channels.insert(channel, mark);
            }
            Step::All(position) => {
                self.start = Some(position);
                self.channels
                    .values_mut()
                    .for_each(|mark| mark.position = Some(position));
            }
            Step::Forget(channel) => {
                self.channels.remove(&channel);
            }
        }
    }

    /// True if no step was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_move_the_marks() {
        let at = |time, tag| Position::new(time, tag);
        let mark = |position, id| Mark {
            position: Some(position),
            id: Some(id),
        };
        let mut marks = Marks::default();
        marks.record(Step::Start(at(100, 0)));
        marks.record(Step::Start(at(90, 0)));
        marks.record(Step::Message(
            "a".to_owned(),
            mark(at(101, 1), 7),
            Some("e".to_owned()),
        ));
        marks.record(Step::Message("b".to_owned(), mark(at(101, 2), 1), None));
        assert_eq!(
            (marks.start, marks.event_id.as_deref()),
            (Some(at(100, 0)), Some("e"))
        );
        marks.record(Step::All(at(103, 1)));
        assert_eq!(marks.channels["a"], mark(at(103, 1), 7));
        assert_eq!(marks.start, Some(at(103, 1)));
        marks.record(Step::Forget("a".to_owned()));
        marks.record(Step::Raise(Some(at(102, 0))));
        assert_eq!((marks.channels.len(), marks.start), (1, Some(at(103, 1))));
    }
}
