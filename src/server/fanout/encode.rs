//! Encoding of messages in the format of their followers.

use bytes::Bytes;
use smallvec::SmallVec;

use super::encoder::{Delivery, DeliveryBatch};
use super::format::Format;
use super::frame::PayloadFrame;
use super::frame_cache::FrameContent;
use super::gaps;
use crate::message::Position;
use crate::server::broker::{Channel, LogCursor, LogSlice};

/// Typical size of an encoded message beyond its text and channel id. Our JSON has 110 bytes of
/// names, date and tag.
const ROOM_FOR_FIELDS: usize = 160;
/// Size of the head of a long-polling response.
const ROOM_FOR_HEAD: usize = 400;

/// Reads the next messages of a channel for a follower of this format and encodes them.
pub(super) fn encode_next(
    channel: &Channel,
    cursor: LogCursor,
    format: &Format,
) -> (PayloadFrame, FrameContent) {
    let slice = gaps::read(channel, cursor, format.policy.slow_consumers);
    let horizon = slice.horizon;
    let content = FrameContent {
        up_to: slice.cursor.last_seen,
        backlog: slice.cursor.backlog,
        missed: slice.missed,
        is_cut: slice.is_cut,
    };
    let frame = encode(format, &[(&channel.id, slice)], horizon);
    (frame, content)
}

/// Encodes messages. Messages of several channels are ordered by position; gaps come first. The
/// result is empty if there are neither messages nor gaps. `horizon` is the
/// position of a cursor that continues after these messages.
pub(super) fn encode(
    format: &Format,
    parts: &[(&Bytes, LogSlice)],
    horizon: Position,
) -> PayloadFrame {
    let mut deliveries: SmallVec<[Delivery<'_>; 1]> = SmallVec::new();
    for (channel, slice) in parts {
        deliveries.extend(
            slice
                .messages
                .iter()
                .map(|message| Delivery { channel, message }),
        );
    }
    if parts.len() > 1 {
        deliveries.sort_by_key(|delivery| delivery.message.position);
    }
    let gaps = gaps::before_deliveries(parts, &deliveries);
    if deliveries.is_empty() && gaps.is_empty() {
        return PayloadFrame::default();
    }
    // Reserved at once: growing the buffer step by step would cost more than the encoding.
    let texts: usize = deliveries
        .iter()
        .map(|delivery| delivery.message.text.len() + delivery.channel.len() + ROOM_FOR_FIELDS)
        .sum();
    let batch = DeliveryBatch {
        gaps: &gaps,
        deliveries: &deliveries,
        horizon,
    };
    format.encode(texts + ROOM_FOR_HEAD, |encoder, out| {
        encoder.encode_messages(batch, out);
    })
}
