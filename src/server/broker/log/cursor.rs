//! Cursors: the one that a client sends, and the one of a reader in a log.

use bytes::Bytes;

use crate::message::Position;

/// Position from which a subscriber resumes, as the client sends it (push-stream.md, section 7.1).
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// Resume after this second or, with `tag`, after that message of it.
    pub time: Option<u64>,
    /// Tag of the last message seen in second `time`.
    pub tag: Option<u64>,
    /// Event id of the last message seen.
    pub event_id: Option<Bytes>,
    /// If the message with the event id was dropped, resume at the oldest stored message. Otherwise
    /// the event id is ignored then, as in the module.
    pub finds_dropped: bool,
    /// Set if the position is lost: all stored messages are newer than this one, at which that was
    /// detected, and others may be missing.
    pub lost_at: Option<Position>,
}

/// Cursor of a reader in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCursor {
    /// Id of the last message that the reader has seen.
    pub last_seen: u64,
    /// Up to this id only stored messages are due (the backlog); after it, all messages.
    pub live_from: u64,
    /// Number of backlog messages that are still due.
    pub backlog: u32,
}

impl LogCursor {
    /// True if backlog may still be due.
    #[must_use]
    pub fn is_in_backlog(&self) -> bool {
        self.last_seen < self.live_from
    }
}
