//! Encoding of messages in the format of their followers.

use bytes::Bytes;
use smallvec::SmallVec;

use super::encoder::{Delivery, DeliveryBatch};
use super::format::Format;
use super::frame_cache::FrameContent;
use super::gaps;
use crate::message::Position;
use crate::server::broker::{Channel, LogCursor, LogSlice};
use crate::server::exchange::buffer_pool;
use crate::server::exchange::checksum::Checksum;

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
) -> (Vec<u8>, FrameContent) {
    let slice = gaps::read(channel, cursor, format.policy.slow_consumers);
    let horizon = slice.horizon;
    let mut content = FrameContent {
        up_to: slice.cursor.last_seen,
        backlog: slice.cursor.backlog,
        missed: slice.missed,
        checksum: Checksum::default(),
        is_cut: slice.is_cut,
    };
    let (bytes, checksum) = encode(format, &[(&channel.id, slice)], horizon);
    content.checksum = checksum;
    (bytes, content)
}

/// Encodes messages and seals the result. Messages of several channels are ordered by position;
/// gaps come first. The result is empty if there are neither messages nor gaps. `horizon` is the
/// position of a cursor that continues after these messages.
pub(super) fn encode(
    format: &Format,
    parts: &[(&Bytes, LogSlice)],
    horizon: Position,
) -> (Vec<u8>, Checksum) {
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
        return (Vec::new(), Checksum::default());
    }
    // Reserved at once: growing the buffer step by step would cost more than the encoding.
    let texts: usize = deliveries
        .iter()
        .map(|delivery| delivery.message.text.len() + delivery.channel.len() + ROOM_FOR_FIELDS)
        .sum();
    let mut bytes = buffer_pool::take(texts + ROOM_FOR_HEAD);
    format.encoder.encode_messages(
        DeliveryBatch {
            gaps: &gaps,
            deliveries: &deliveries,
            horizon,
        },
        &mut bytes,
    );
    format.encoder.seal(bytes)
}
