//! The end of a channel: collected when it is empty and idle, or deleted, which its followers are
//! notified of.

#[cfg(debug_assertions)]
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{Channel, ChannelState};
use crate::message::Position;
use crate::server::broker::log::LogCursor;
use crate::server::broker::memory::Charge;

/// Stage in the life of a channel.
#[derive(Debug)]
pub(in crate::server::broker) enum Lifecycle {
    /// It is in the registry.
    Alive,
    /// It was collected at this position, without followers.
    Collected(Position),
    /// It was deleted at this position; its followers get this text.
    Deleted(
        Position,
        Bytes,
        #[allow(dead_code, reason = "held for its drop")] Charge,
    ),
}

/// Head of a channel: how far its followers have to be served.
#[derive(Clone, Debug)]
pub struct ChannelHead {
    /// Id of the newest message.
    pub last_id: u64,
    /// Text that the followers get after that message, if the channel was deleted.
    pub deletion_text: Option<Bytes>,
}

impl Channel {
    /// True if the engine has filled its log.
    #[cfg(debug_assertions)]
    pub(in crate::server::broker) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Records that the engine has filled its log.
    #[cfg(debug_assertions)]
    pub(in crate::server::broker) fn set_open(&self) {
        self.is_open.store(true, Ordering::Release);
    }

    /// The current head of the channel.
    #[must_use]
    pub fn head(&self) -> ChannelHead {
        let state = self.lock();
        ChannelHead {
            last_id: state.log.last_id(),
            deletion_text: state.deletion_text(),
        }
    }

    /// The text for followers, if the channel was deleted.
    #[must_use]
    pub fn deletion_text(&self) -> Option<Bytes> {
        self.lock().deletion_text()
    }

    /// True if a follower with this cursor has something to receive: a message, or the end of the
    /// channel.
    #[must_use]
    pub fn has_due_after(&self, cursor: LogCursor) -> bool {
        let state = self.lock();
        cursor.last_seen < state.log.last_id() || state.ended_at().is_some()
    }

    /// The position at which the channel ended, if it did. Its messages are not after it; those of
    /// a successor are.
    #[must_use]
    pub fn ended_at(&self) -> Option<Position> {
        self.lock().ended_at()
    }
}

impl ChannelState {
    fn deletion_text(&self) -> Option<Bytes> {
        match &self.lifecycle {
            Lifecycle::Deleted(_, text, _) => Some(text.clone()),
            Lifecycle::Alive | Lifecycle::Collected(_) => None,
        }
    }

    pub(super) fn ended_at(&self) -> Option<Position> {
        match self.lifecycle {
            Lifecycle::Alive => None,
            Lifecycle::Collected(at) | Lifecycle::Deleted(at, ..) => Some(at),
        }
    }
}
