//! Gaps: reading for followers that are too far behind, and the gaps that are reported to them.

use std::sync::Arc;

use bytes::Bytes;

use super::context::ShardContext;
use super::encoder::{Delivery, DeliveryBatch, Gap};
use super::format::Format;
use super::frame::PayloadFrame;
use super::frame_cache::MAX_FRAME_TEXT_BYTES;
use super::policy::SlowConsumerSettings;
use crate::message::Position;
use crate::server::broker::{Attachment, Channel, LogCursor, LogSlice, MissedCount};
use crate::server::config::SlowPolicy;

/// Reads for a follower. If messages are missing, reads from where its policy lets it resume.
pub(super) fn read(channel: &Channel, cursor: LogCursor, slow: SlowConsumerSettings) -> LogSlice {
    let slice = channel.read(cursor, slow.max_lag, MAX_FRAME_TEXT_BYTES);
    if slice.missed == 0 || slow.policy != SlowPolicy::Latest {
        return slice;
    }
    let (cursor, skipped) = channel.skip_to_newest(cursor);
    let slice = channel.read(cursor, slow.max_lag, MAX_FRAME_TEXT_BYTES);
    LogSlice {
        missed: slice.missed + skipped,
        ..slice
    }
}

/// The gaps before these deliveries.
pub(super) fn before_deliveries(
    parts: &[(&Bytes, LogSlice)],
    deliveries: &[Delivery<'_>],
) -> Vec<Gap> {
    let missing = parts.iter().filter(|(_, slice)| slice.missed > 0);
    let gap = |(channel, slice): &(&Bytes, LogSlice)| Gap {
        channel: Bytes::clone(channel),
        missed: MissedCount {
            count: slice.missed,
            at_least: false,
        },
        position: deliveries
            .first()
            .map_or(slice.horizon, |first| before(first.message.position)),
    };
    missing.map(gap).collect()
}

/// The gaps of a new follower whose cursor is older than the stored messages.
pub(super) fn at_attach(
    context: ShardContext<'_>,
    channels: &[(Arc<Channel>, Attachment)],
    max_lag: u64,
    lost_at: Option<Position>,
) -> Vec<Gap> {
    let mut gaps = Vec::new();
    // Every position has to be a valid cursor for all channels, so it must not be beyond the next
    // message of any of them. The newest positions are read first: a message published while this
    // runs is newer.
    for (channel, attachment) in channels
        .iter()
        .filter(|(_, attachment)| attachment.missed.is_gap())
    {
        context
            .broker
            .counters()
            .count_missed_at_resume(attachment.missed.count);
        let position = channel
            .positions(attachment.cursor, max_lag)
            .1
            .max(lost_at.unwrap_or_default());
        gaps.push(Gap {
            channel: channel.id.clone(),
            missed: attachment.missed,
            position,
        });
    }
    if !gaps.is_empty() {
        let next = channels
            .iter()
            .filter_map(|(channel, attachment)| channel.positions(attachment.cursor, max_lag).0)
            .min();
        for gap in &mut gaps {
            gap.position = next.map_or(gap.position, |next| gap.position.min(before(next)));
        }
    }
    gaps
}

/// Encodes the gaps. The frame is empty without gaps, or if the format does not report them.
pub(super) fn encode_gaps(format: &Format, gaps: &[Gap]) -> PayloadFrame {
    let Some(horizon) = gaps.iter().map(|gap| gap.position).min() else {
        return PayloadFrame::default();
    };
    let batch = DeliveryBatch {
        gaps,
        deliveries: &[],
        horizon,
    };
    format.encode_notice(|encoder, out| encoder.encode_messages(batch, out))
}

/// The last position before that of a message. Tags begin with 1, so the subtraction stays in the
/// second.
pub(super) fn before(position: Position) -> Position {
    Position {
        tag: position.tag.saturating_sub(1),
        ..position
    }
}
