//! Where a subscription starts: the position of channels that have not delivered a message yet.
//! Does no I/O.

use crate::client::dialect::MessageId;
use crate::message::Position;

/// A tag of nchan and NHPM that is greater than all tags of a second.
const LAST_TAG: &str = "9999";

/// The start of channels that have not delivered a message yet.
#[derive(Clone, Debug, Default)]
pub(super) struct CursorStart {
    position: Option<Position>,
    /// True once a request was sent from `position`: older messages were then not requested.
    has_resumed: bool,
    /// The start is after an event id: messages older than `position` are wanted.
    is_event: bool,
    /// The start is after the message at its position, not at the beginning of its second.
    is_exact: bool,
    /// The start was advanced by messages without an id.
    is_raised: bool,
    /// The start was returned as a step.
    was_reported: bool,
}

impl CursorStart {
    /// Starts at the beginning of the second of `position`, or after the message there.
    pub(super) fn at(position: Position, is_exact: bool) -> Self {
        Self {
            position: Some(position),
            has_resumed: true,
            is_exact,
            ..Self::default()
        }
    }

    /// Starts after the message with an event id.
    pub(super) fn after_event() -> Self {
        Self {
            is_event: true,
            ..Self::default()
        }
    }

    /// Starts where an earlier subscription ended; `is_event` if that has only an event id.
    pub(super) fn resumed(position: Option<Position>, is_event: bool) -> Self {
        Self {
            position,
            has_resumed: true,
            is_event,
            was_reported: position.is_some(),
            ..Self::default()
        }
    }

    /// The position, if it is known.
    pub(super) fn position(&self) -> Option<Position> {
        self.position
    }

    /// The position before which no message is wanted. The start after an event id is only the time
    /// of the request.
    pub(super) fn lower_bound(&self) -> Option<Position> {
        self.position.filter(|_| !self.is_event)
    }

    /// True if the first request has to send a position.
    pub(super) fn must_be_sent(&self) -> bool {
        self.has_resumed || self.is_event
    }

    /// True if there is neither a position nor an event id.
    pub(super) fn is_unknown(&self) -> bool {
        self.position.is_none() && !self.is_event
    }

    /// Records the server's clock. It has no effect if a better start is known.
    pub(super) fn record_clock(&mut self, date: u64) {
        self.position.get_or_insert(Position::new(date, 0));
    }

    /// Records that a request is sent from a position.
    pub(super) fn record_resume(&mut self) {
        self.has_resumed = true;
    }

    /// Advances the start to `position`.
    pub(super) fn raise(&mut self, position: Option<Position>) {
        self.position = self.position.max(position);
    }

    /// Advances the start to `position`, the estimated one of a message without an id.
    pub(super) fn raise_to_estimate(&mut self, position: Option<Position>) {
        self.is_raised = true;
        self.raise(position);
    }

    /// Returns the position, once, as soon as it is known.
    pub(super) fn report(&mut self) -> Option<Position> {
        if self.was_reported || self.is_event {
            return None;
        }
        let position = self.position?;
        self.was_reported = true;
        Some(position)
    }

    /// True if a message at `position` was not requested.
    pub(super) fn is_at_or_after(&self, position: Position) -> bool {
        self.has_resumed && self.lower_bound().is_some_and(|start| position <= start)
    }

    /// True if the start is in a later second than `position`: NHPM and nchan were sent an exact
    /// id, so only whole seconds are compared.
    pub(super) fn is_in_later_second(&self, position: Position) -> bool {
        self.position
            .is_some_and(|start| position.time < start.time)
    }

    /// The start as a message id of NHPM and nchan; `None` if it is left out by default.
    pub(super) fn message_id(&self) -> Option<MessageId> {
        let start = self.position?;
        if self.is_exact {
            return Some(MessageId {
                time: start.time,
                tags: start.tag.to_string(),
            });
        }
        self.is_raised.then(|| MessageId {
            time: start.time.saturating_sub(1),
            tags: LAST_TAG.to_owned(),
        })
    }

    /// The start as a message id of nchan for a number of channels, if [`Self::message_id`] leaves
    /// it out.
    pub(super) fn omitted_message_id(&self, channels: usize) -> Option<MessageId> {
        let start = self
            .position
            .filter(|_| self.has_resumed && !self.is_exact && !self.is_raised)?;
        // With several tags, one is in brackets.
        let tags = match channels {
            1 => LAST_TAG.to_owned(),
            _ => format!(
                "[{LAST_TAG}]{}",
                format!(",{LAST_TAG}").repeat(channels - 1)
            ),
        };
        // The second of the start is included. nchan ignores an id with time 0.
        Some(MessageId {
            time: start.time.saturating_sub(1).max(1),
            tags,
        })
    }
}
