//! Evaluation of message ids: duplicates, gaps, and channels whose ids count from 1 again.
//!
//! The ids of a channel count from 1 without holes as long as the channel exists. A hole is a gap
//! of known size; a late message from another worker of the server fills it. An id that decreases
//! while the position increases shows that the channel was recreated (the server was restarted, or
//! the channel was deleted or expired): a gap of unknown size. Where messages have no position, a
//! smaller id may be a repetition after a reconnect, unless the connection has already delivered a
//! newer message. Does no I/O.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;

use super::marks::{Mark, Step};
use crate::client::message::Gap;
use crate::client::message::Message;

/// A gap detected from message ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Number of missing messages.
    pub gap: Gap,
    /// How the gap moves the marks: to its end, so that a later run does not report it again.
    pub step: Step,
}

/// How the id of a message relates to the previous ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdOrder {
    /// The message was received before.
    Repeated,
    /// The message fills a hole; the marks do not move.
    Late,
    /// The message follows the last one.
    Next,
    /// The ids of the channel count from 1 again.
    Restarted,
}

/// Maximum number of late messages recorded per hole: workers overtake each other by a few.
const MAX_LATE: usize = 1024;

/// Ids that were missing when a gap was found.
#[derive(Clone, Debug)]
struct Hole {
    ids: RangeInclusive<i64>,
    /// Ids of the hole that arrived late.
    filled: BTreeSet<i64>,
}

/// The ids of all channels.
#[derive(Clone, Debug, Default)]
pub(super) struct IdSequence {
    /// The last hole of each channel.
    holes: HashMap<String, Hole>,
    /// Channels that delivered a new message on the current connection: later messages are not
    /// repetitions.
    live: HashSet<String>,
    /// The request had an exact position of all channels, so nothing is repeated.
    is_exact_request: bool,
}

impl IdSequence {
    pub(super) fn begin_connection(&mut self, is_exact_request: bool) {
        self.live.clear();
        self.is_exact_request = is_exact_request;
    }

    pub(super) fn forget(&mut self, channel: &str) {
        self.holes.remove(channel);
        self.live.remove(channel);
    }

    /// Returns how a message of `channel` follows the one at `last`. If the server's clock was set
    /// back, greater ids have older positions, so a message counts as received before only if both
    /// are behind.
    pub(super) fn classify(&self, message: &Message, channel: &str, last: Mark) -> IdOrder {
        let id = message.id.zip(last.id);
        let hole = id.and_then(|(new, _)| {
            self.holes
                .get(channel)
                .filter(|hole| hole.ids.contains(&new))
        });
        if let (Some(hole), Some((new, _))) = (hole, id) {
            return if hole.filled.contains(&new) {
                IdOrder::Repeated
            } else {
                IdOrder::Late
            };
        }
        let is_behind = message
            .position()
            .zip(last.position)
            .map(|(new, old)| new <= old);
        match (is_behind, id) {
            (Some(true), None) => IdOrder::Repeated,
            (Some(true), Some((new, old))) if new <= old => IdOrder::Repeated,
            (Some(false), Some((new, old))) if new <= old => IdOrder::Restarted,
            (None, Some((new, old)))
                if new < old && (self.is_exact_request || self.live.contains(channel)) =>
            {
                IdOrder::Restarted
            }
            (None, Some((new, old))) if new <= old => IdOrder::Repeated,
            _ => IdOrder::Next,
        }
    }

    /// Records a message that fills the hole of `channel`.
    pub(super) fn record_late(&mut self, channel: &str, id: Option<i64>) {
        let Some(hole) = self.holes.get_mut(channel) else {
            return;
        };
        hole.filled.extend(id);
        if hole.filled.len() > MAX_LATE {
            self.holes.remove(channel);
        }
    }

    /// Records a message of `channel` after `last`. Returns the gap before it, if there is one.
    pub(super) fn detect_gap(
        &mut self,
        message: &Message,
        channel: &str,
        last: Mark,
        order: IdOrder,
    ) -> Option<Missing> {
        self.live.insert(channel.to_owned());
        let (new, old) = message.id.zip(last.id)?;
        let gap = if order == IdOrder::Restarted {
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
