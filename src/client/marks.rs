//! Marks: up to where the messages of a subscription were dealt with, so that a later one goes on
//! there. Pure.
//!
//! The subscription's own [`super::cursor`] runs ahead: it knows what was received. Every event
//! carries a [`Step`]; whoever has dealt with an event notes its step here. So what was received
//! but never dealt with comes again.

use std::collections::BTreeMap;

use crate::message::Position;

/// Where one channel stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Time and tag of its last message.
    pub position: Option<Position>,
    /// Id of its last message.
    pub id: Option<i64>,
}

/// How an event moves the marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Channels that have given nothing yet start here. Once it is known, backlogs are no longer
    /// wanted.
    Start(Position),
    /// A message of this channel, with its event id.
    Message(String, Mark, Option<String>),
    /// A message that tells nothing of itself: the common start moves up to here.
    Raise(Option<Position>),
    /// A long-polling or polling answer came whole: all channels stand here.
    All(Position),
    /// The channel was deleted.
    Forget(String),
}

/// Where a set of channels stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Where channels start that have given nothing; `None` while that is not known, or their
    /// backlogs have not come.
    pub start: Option<Position>,
    /// The channels that have given something.
    pub channels: BTreeMap<String, Mark>,
    /// The last event id.
    pub event_id: Option<String>,
}

impl Marks {
    /// Takes note that an event was dealt with.
    pub fn note(&mut self, step: Step) {
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

    /// True if nothing was noted yet.
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
        marks.note(Step::Start(at(100, 0)));
        marks.note(Step::Start(at(90, 0)));
        marks.note(Step::Message(
            "a".to_owned(),
            mark(at(101, 1), 7),
            Some("e".to_owned()),
        ));
        marks.note(Step::Message("b".to_owned(), mark(at(101, 2), 1), None));
        assert_eq!(
            (marks.start, marks.event_id.as_deref()),
            (Some(at(100, 0)), Some("e"))
        );
        marks.note(Step::All(at(103, 1)));
        assert_eq!(marks.channels["a"], mark(at(103, 1), 7));
        assert_eq!(marks.start, Some(at(103, 1)));
        marks.note(Step::Forget("a".to_owned()));
        marks.note(Step::Raise(Some(at(102, 0))));
        assert_eq!((marks.channels.len(), marks.start), (1, Some(at(103, 1))));
    }
}
