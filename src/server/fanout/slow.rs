//! Followers that are too far behind, and what is missing: the policies of locations, and the news
//! of gaps.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::format::{Batch, Delivery, Format, Gap, SlowConsumers};
use super::frames::MAX_FRAME_TEXT_BYTES;
use super::shard::ConnectionKey;
use super::state::{ShardContext, State};
use crate::message::Position;
use crate::server::broker::{Attachment, Channel, Missed, Place, Slice, Slowness};
use crate::server::config::SlowPolicy;

impl State {
    /// To be asked before a follower gets what is behind a gap: false if it is given up instead.
    pub(super) fn survives_gap(
        &mut self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
        missed: u64,
    ) -> bool {
        let Some(follower) = self.follower(key) else {
            return false;
        };
        let slowness = match follower.format.slow_consumers().policy {
            SlowPolicy::Disconnect => {
                self.drop_slow(moment, key, Slowness::Disconnected, missed);
                return false;
            }
            SlowPolicy::Skip => Slowness::Skipped,
            SlowPolicy::Latest => Slowness::Latest,
        };
        moment.broker.count_slow(slowness, missed);
        tracing::debug!(missed, "a subscriber was too slow and goes on behind a gap");
        true
    }

    /// Gives up a follower that is too slow: its socket took nothing for too long, or it fell out
    /// of the log.
    pub(super) fn drop_slow(
        &mut self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
        slowness: Slowness,
        missed: u64,
    ) {
        let Some(follower) = self.follower(key) else {
            return;
        };
        follower.give_up();
        moment.broker.count_slow(slowness, missed);
        tracing::debug!(missed, "a subscriber was too slow and is dropped");
        self.after_write(moment, key);
    }
}

/// Reads for a follower; where messages are missing, from where its policy lets it go on.
pub(super) fn read(channel: &Channel, place: Place, slow: SlowConsumers) -> Slice {
    let slice = channel.read(place, slow.max_lag, MAX_FRAME_TEXT_BYTES);
    if slice.missed == 0 || slow.policy != SlowPolicy::Latest {
        return slice;
    }
    let (place, left_out) = channel.jump_to_newest(place);
    let slice = channel.read(place, slow.max_lag, MAX_FRAME_TEXT_BYTES);
    Slice {
        missed: slice.missed + left_out,
        ..slice
    }
}

/// What is missing before the messages that are sent next.
pub(super) fn gaps(parts: &[(&Bytes, Slice)], deliveries: &[Delivery<'_>]) -> Vec<Gap> {
    let missing = parts.iter().filter(|(_, slice)| slice.missed > 0);
    let gap = |(channel, slice): &(&Bytes, Slice)| Gap {
        channel: Bytes::clone(channel),
        missed: Missed {
            count: slice.missed,
            at_least: false,
        },
        position: deliveries
            .first()
            .map_or(slice.horizon, |first| before(first.message.position)),
    };
    missing.map(gap).collect()
}

/// What a new follower misses of its channels, because its cursor is older than what is kept.
pub(super) fn gaps_at_attach(
    moment: ShardContext<'_>,
    places: &[(Arc<Channel>, Attachment)],
    max_lag: u64,
    lost_at: Option<Position>,
) -> Vec<Gap> {
    let mut gaps = Vec::new();
    // Every position has to be a cursor for all channels, so it must not be beyond the next message
    // of any of them. The newest positions are read before: what is published meanwhile is newer.
    for (channel, attachment) in places
        .iter()
        .filter(|(_, attachment)| attachment.missed.is_gap())
    {
        moment
            .broker
            .count_missed_at_resume(attachment.missed.count);
        let position = channel
            .positions(attachment.place, max_lag)
            .1
            .max(lost_at.unwrap_or_default());
        gaps.push(Gap {
            channel: channel.id.clone(),
            missed: attachment.missed,
            position,
        });
    }
    if !gaps.is_empty() {
        let next = places
            .iter()
            .filter_map(|(channel, attachment)| channel.positions(attachment.place, max_lag).0)
            .min();
        for gap in &mut gaps {
            gap.position = next.map_or(gap.position, |next| gap.position.min(before(next)));
        }
    }
    gaps
}

/// Appends the news of gaps; true if the format has any.
pub(super) fn tell(format: &Rc<dyn Format>, gaps: &[Gap], out: &mut Vec<u8>) -> bool {
    let length = out.len();
    if let Some(horizon) = gaps.iter().map(|gap| gap.position).min() {
        format.messages(
            Batch {
                gaps,
                deliveries: &[],
                horizon,
            },
            out,
        );
    }
    out.len() > length
}

/// The cursor that leads to a message and nothing before it. Tags begin with 1.
pub(super) fn before(position: Position) -> Position {
    Position {
        tag: position.tag.saturating_sub(1),
        ..position
    }
}
