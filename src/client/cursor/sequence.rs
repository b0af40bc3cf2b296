//! What the ids of messages show: which were seen before, which are missing, and that a channel
//! counts from 1 again.
//!
//! The ids of a channel count from 1 without holes as long as the channel exists. A hole is a gap
//! of known size; a message of another worker of the server that comes late fills it. An id that
//! goes back while the position goes on shows that the channel started again (the server was
//! restarted, or the channel was deleted or forgotten): a gap of unknown size. Where messages carry
//! no position, an id that goes back may be a repetition after a reconnect, unless the connection
//! has given something newer before. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;

use crate::client::Message;
use crate::client::marks::{Mark, Step};
use crate::client::message::Gap;

/// A gap that the ids of messages show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// How many.
    pub gap: Gap,
    /// How it moves the marks: behind the gap, so that a later run does not report it again.
    pub step: Step,
}

/// How the id of a message follows those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It was seen before.
    Repeated,
    /// It fills a hole; the marks stay.
    Late,
    /// It is behind the last one.
    Next,
    /// The channel counts from 1 again.
    Restarted,
}

/// Most late messages that are remembered of a hole: workers overtake each other by a few.
const MOST_LATE: usize = 1024;

/// Ids that were left out when a gap was found.
#[derive(Clone, Debug)]
struct Hole {
    ids: RangeInclusive<i64>,
    /// Those of them that came late.
    filled: BTreeSet<i64>,
}

/// The ids of all channels.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    /// The last hole of each channel.
    holes: HashMap<String, Hole>,
    /// Channels that have given a new message over the current connection: what follows is no
    /// repetition.
    live: HashSet<String>,
    /// The server was asked for what is behind an exact place of all channels, so nothing is
    /// repeated.
    is_exact_request: bool,
}

impl Sequence {
    pub(super) fn connected(&mut self, is_exact_request: bool) {
        self.live.clear();
        self.is_exact_request = is_exact_request;
    }

    pub(super) fn forget(&mut self, channel: &str) {
        self.holes.remove(channel);
        self.live.remove(channel);
    }

    /// How a message of `channel` follows the one at `last`. A clock that was set back gives older
    /// positions to larger ids, so only what is behind in both was seen before.
    pub(super) fn order(&self, message: &Message, channel: &str, last: Mark) -> Order {
        let id = message.id.zip(last.id);
        let hole = id.and_then(|(new, _)| {
            self.holes
                .get(channel)
                .filter(|hole| hole.ids.contains(&new))
        });
        if let (Some(hole), Some((new, _))) = (hole, id) {
            return if hole.filled.contains(&new) {
                Order::Repeated
            } else {
                Order::Late
            };
        }
        let is_behind = message
            .position()
            .zip(last.position)
            .map(|(new, old)| new <= old);
        match (is_behind, id) {
            (Some(true), None) => Order::Repeated,
            (Some(true), Some((new, old))) if new <= old => Order::Repeated,
            (Some(false), Some((new, old))) if new <= old => Order::Restarted,
            (None, Some((new, old)))
                if new < old && (self.is_exact_request || self.live.contains(channel)) =>
            {
                Order::Restarted
            }
            (None, Some((new, old))) if new <= old => Order::Repeated,
            _ => Order::Next,
        }
    }

    /// Takes a message that fills the hole of `channel`.
    pub(super) fn fill(&mut self, channel: &str, id: Option<i64>) {
        let Some(hole) = self.holes.get_mut(channel) else {
            return;
        };
        hole.filled.extend(id);
        if hole.filled.len() > MOST_LATE {
            self.holes.remove(channel);
        }
    }

    /// Takes a message of `channel` behind `last`; the gap before it, if there is one.
    pub(super) fn missing(
        &mut self,
        message: &Message,
        channel: &str,
        last: Mark,
        order: Order,
    ) -> Option<Missing> {
        self.live.insert(channel.to_owned());
        let (new, old) = message.id.zip(last.id)?;
        let gap = if order == Order::Restarted {
            self.holes.remove(channel);
            Gap {
                missed: 0,
                at_least: true,
            }
        } else {
            let missed = u64::try_from(new.saturating_sub(old).saturating_sub(1))
                .ok()
                .filter(|missed| *missed > 0)?;
            self.holes.insert(
                channel.to_owned(),
                Hole {
                    ids: old + 1..=new - 1,
                    filled: BTreeSet::new(),
                },
            );
            Gap {
                missed,
                at_least: false,
            }
        };
        let mark = Mark {
            position: last.position,
            id: Some(new.saturating_sub(1)),
        };
        Some(Missing {
            gap,
            step: Step::Message(channel.to_owned(), mark, None),
        })
    }
}
