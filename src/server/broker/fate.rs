//! The end of a channel: collected when nobody needs it, or deleted, of which its followers are
//! told.

use bytes::Bytes;

use super::channel::{Channel, State};
use super::log::Place;
use super::memory::Charge;
use crate::message::Position;

/// What has become of a channel.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is in the registry.
    Alive,
    /// It was collected at this position; nobody followed it.
    Collected(Position),
    /// It was deleted at this position; its followers are told with this text.
    Deleted(
        Position,
        Bytes,
        #[allow(dead_code, reason = "held for its drop")] Charge,
    ),
}

impl Channel {
    /// Id of the newest message, and the farewell text if the channel was deleted after it.
    #[must_use]
    pub fn news(&self) -> (u64, Option<Bytes>) {
        let state = self.lock();
        (state.log.last_id(), state.farewell())
    }

    /// The farewell text, if the channel was deleted.
    #[must_use]
    pub fn deleted(&self) -> Option<Bytes> {
        self.lock().farewell()
    }

    /// True if a follower at this place has something to be told: a message, or the channel's end.
    #[must_use]
    pub fn has_news_after(&self, place: Place) -> bool {
        let state = self.lock();
        place.cursor < state.log.last_id() || state.ended_at().is_some()
    }

    /// The position at which the channel ended, if it did: its messages are not after it, a
    /// successor's all are.
    #[must_use]
    pub fn ended_at(&self) -> Option<Position> {
        self.lock().ended_at()
    }
}

impl State {
    fn farewell(&self) -> Option<Bytes> {
        match &self.fate {
            Fate::Deleted(_, text, _) => Some(text.clone()),
            Fate::Alive | Fate::Collected(_) => None,
        }
    }

    /// The position at which the channel ended, if it did.
    pub(super) fn ended_at(&self) -> Option<Position> {
        match self.fate {
            Fate::Alive => None,
            Fate::Collected(at) | Fate::Deleted(at, ..) => Some(at),
        }
    }
}
