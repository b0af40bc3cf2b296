//! The interface between the fan-out, which moves bytes, and the subscriber modes, which encode
//! messages.

use bytes::Bytes;

use super::end_reason::EndReason;
use super::frame::PayloadBuffer;
use crate::message::Position;
use crate::server::broker::{Message, MissedCount};

/// A message to be encoded for a follower.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Id of the channel.
    pub channel: &'a Bytes,
    /// The message to encode.
    pub message: &'a Message,
}

/// Messages that are encoded together.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryBatch<'a> {
    /// Messages that are missing before them.
    pub gaps: &'a [Gap],
    /// The messages, in the order in which they are sent; empty only if there are gaps.
    pub deliveries: &'a [Delivery<'a>],
    /// Position of a cursor that continues after these messages without losing or repeating any.
    pub horizon: Position,
}

/// Messages of a channel that were due to a follower and are no longer available.
#[derive(Clone, Debug)]
pub struct Gap {
    /// Id of the channel.
    pub channel: Bytes,
    /// Number of missing messages.
    pub missed: MissedCount,
    /// Position to resume from: before the earliest next message of any channel. A client that
    /// resumes here may get a later gap of another channel twice.
    pub position: Position,
}

/// Positions from which a one-shot response without messages derives the cursor that it gives to
/// the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResumePoint {
    /// The current second.
    pub second: u64,
    /// Position of the newest message of the follower's channels; the beginning of the current
    /// second if there was none.
    pub newest: Position,
    /// Position right before the next message that is still due, if there is one.
    pub before_next: Option<Position>,
}

impl ResumePoint {
    /// The cursor that loses no message, and repeats none unless the channels have been served up
    /// to different positions.
    #[must_use]
    pub fn exact(self) -> Position {
        self.before_next
            .map_or(self.newest, |next| next.min(self.newest))
    }

    /// The beginning of the current second, as the module sends it (push-stream.md, section 10):
    /// messages of this second may be repeated. Never beyond a message that is still due.
    #[must_use]
    pub fn start_of_second(self) -> Position {
        let second = Position::new(self.second, 0);
        self.before_next.map_or(second, |next| next.min(second))
    }
}

/// Encodes messages for one kind of follower, without the framing of their responses. The methods
/// run once per frame for all followers that share the format and the cursor, not once per
/// follower, so the dynamic dispatch is negligible. What is constant for the followers is in their
/// [`FollowerPolicy`](super::FollowerPolicy).
pub trait Encoder {
    /// Appends these gaps and messages; for a one-shot format, the whole response. Appends nothing
    /// if there are only gaps and the format does not report them.
    fn encode_messages(&self, batch: DeliveryBatch<'_>, out: &mut PayloadBuffer);

    /// Appends a ping; nothing if the format has no pings.
    fn encode_ping(&self, out: &mut PayloadBuffer);

    /// Appends the notice that a channel was deleted; for a one-shot format, the whole response.
    fn encode_deletion(
        &self,
        channel: &[u8],
        text: &[u8],
        resume_point: ResumePoint,
        out: &mut PayloadBuffer,
    );

    /// Appends the last payload of the subscription. The end of a compressed or chunked body
    /// follows it.
    fn encode_end(&self, ending: EndReason, resume_point: ResumePoint, out: &mut PayloadBuffer);
}
