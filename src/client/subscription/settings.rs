//! The settings of a subscription.

use std::time::Duration;

use crate::client::cursor::Cursor;
use crate::client::cursor::marks::Marks;
use crate::client::dialect::Dialect;
use crate::client::mode::Mode;
use crate::message::Position;

/// The settings of a subscription.
#[derive(Clone, Debug)]
pub struct SubscriptionSettings {
    /// Delivery modes in order of preference; the first one that works is used.
    pub modes: Vec<Mode>,
    /// The channels in the order of the user, without duplicates.
    pub channels: Vec<FollowedChannel>,
    /// Where the subscription starts.
    pub start: SubscriptionStart,
    /// Maximum number of failed attempts in a row; `None` means none before the first connection is
    /// established and unlimited afterwards.
    pub retries: Option<u32>,
    /// The caller stores the start and receives it before all other events.
    pub keeps_start: bool,
    /// Time without data after which an endless connection counts as broken; zero for no limit,
    /// `None` to derive it from the server's pings.
    pub silence: Option<Duration>,
    /// Delay between two polls.
    pub interval: Duration,
    /// Maximum size in bytes of a message and of a poll response; a larger one ends the
    /// subscription.
    pub max_message_bytes: usize,
    /// Protocol family of the server; detected from its responses if `None`.
    pub dialect: Option<Dialect>,
}

/// Where a subscription starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SubscriptionStart {
    /// With new messages, after the backlogs of the channels.
    #[default]
    New,
    /// With the messages of this unix second.
    Since(u64),
    /// After this position.
    After(Position),
    /// After the message with this event id.
    AfterEvent(String),
    /// Where an earlier subscription ended.
    At(Marks),
}

/// One channel to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedChannel {
    /// Channel id.
    pub id: String,
    /// Number of stored messages to start with.
    pub backlog: Option<u64>,
}

impl SubscriptionSettings {
    /// The cursor of a new subscription.
    pub(super) fn cursor(&self) -> Cursor {
        let (cursor, known) = match &self.start {
            SubscriptionStart::New => (Cursor::default(), Marks::default()),
            SubscriptionStart::Since(since) => (Cursor::since(*since), Marks::default()),
            SubscriptionStart::After(position) => (Cursor::after(*position), Marks::default()),
            SubscriptionStart::AfterEvent(event_id) => {
                (Cursor::after_event(event_id.clone()), Marks::default())
            }
            SubscriptionStart::At(marks) => (Cursor::at(marks.clone()), marks.clone()),
        };
        // Backlogs that were delivered, at least in part, are not requested again.
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
