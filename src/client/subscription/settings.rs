//! What a subscription is to follow, and from where.

use std::time::Duration;

use crate::client::cursor::Cursor;
use crate::client::marks::Marks;
use crate::client::{Dialect, Mode};
use crate::message::Position;

/// What to follow and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How messages are delivered: the first of these that works.
    pub modes: Vec<Mode>,
    /// Channel ids, in the user's order, each once.
    pub channels: Vec<Channel>,
    /// Where to start.
    pub start: Start,
    /// Attempts in a row that may fail; `None` = none before the first connection is up, any number
    /// after it.
    pub retries: Option<u32>,
    /// The start is kept by the caller, who wants to know it before anything else.
    pub keeps_start: bool,
    /// How long an endless connection may be silent, zero for ever; found out from the server's
    /// pings if absent.
    pub silence: Option<Duration>,
    /// Time between two requests of polling.
    pub interval: Duration,
    /// Most bytes of a message, and of an answer of long-polling or polling; more ends the
    /// subscription.
    pub max_message_bytes: usize,
    /// What the server speaks; found out from its answers if absent.
    pub dialect: Option<Dialect>,
}

/// Where a subscription starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With new messages, and the backlogs of the channels.
    #[default]
    New,
    /// With the messages of this unix second.
    Since(u64),
    /// Behind this position.
    After(Position),
    /// Behind the message with this event id.
    AfterEvent(String),
    /// Where an earlier subscription was left.
    At(Marks),
}

/// One channel to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Channel id.
    pub id: String,
    /// Stored messages to start with.
    pub backlog: Option<u64>,
}

impl Settings {
    /// The cursor of a new subscription.
    pub(super) fn cursor(&self) -> Cursor {
        let (cursor, known) = match &self.start {
            Start::New => (Cursor::default(), Marks::default()),
            Start::Since(since) => (Cursor::since(*since), Marks::default()),
            Start::After(position) => (Cursor::after(*position), Marks::default()),
            Start::AfterEvent(event_id) => {
                (Cursor::after_event(event_id.clone()), Marks::default())
            }
            Start::At(marks) => (Cursor::at(marks.clone()), marks.clone()),
        };
        // Backlogs that have come, at least in part, are not wanted again.
        let outstanding = self
            .channels
            .iter()
            .filter(|channel| known.start.is_none() && !known.channels.contains_key(&channel.id));
        let backlogs = outstanding.filter_map(|channel| {
            Some((
                channel.id.clone(),
                channel.backlog.filter(|backlog| *backlog > 0)?,
            ))
        });
        cursor.with_backlogs(backlogs)
    }
}
