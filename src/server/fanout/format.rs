//! Formats: the interface between the fan-out, which moves bytes, and the subscriber modes, which
//! encode messages.

use std::time::Duration;

use bytes::Bytes;

use crate::message::Position;
use crate::server::broker::{Incident, Message, MissedCount};
use crate::server::config::SlowPolicy;

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

/// Treatment of followers that are too far behind.
#[derive(Clone, Copy, Debug)]
pub struct SlowConsumerSettings {
    /// Policy for a follower that is further behind than the stored messages and `max_lag` reach.
    pub policy: SlowPolicy,
    /// Bytes that a follower may be behind, beyond the stored messages.
    pub max_lag: u64,
}

/// Why a subscription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its time to live is over (`subscriber_connection_ttl`, `longpolling_connection_ttl`).
    TimeToLive,
    /// Its last channel was deleted.
    Deleted,
    /// The server is shutting down, or the location or listener was removed.
    Shutdown,
    /// A newer subscriber is to be the only one that waits.
    Conflict,
    /// It did not answer a ping.
    UnansweredPing,
    /// The client sent data while it should have waited for the response.
    Interrupted,
}

impl EndReason {
    /// The incident to count; `None` if the code that ends the subscription counts it.
    #[must_use]
    pub fn incident(self) -> Option<Incident> {
        Some(match self {
            EndReason::TimeToLive => Incident::EndedByTimeToLive,
            EndReason::Deleted => Incident::EndedByDeletion,
            EndReason::Shutdown => Incident::EndedByShutdown,
            EndReason::Conflict => Incident::EndedByConflict,
            EndReason::Interrupted => Incident::EndedByRequest,
            EndReason::UnansweredPing => return None,
        })
    }
}

/// Checksum (CRC-32) and length of bytes, as in the trailer of a gzip stream (RFC 1952, section
/// 2.3.1). Checksums of consecutive parts can be concatenated, so shared frames are hashed once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// The CRC-32.
    pub crc: u32,
    /// The length modulo 2^32.
    pub length: u32,
}

impl Checksum {
    /// The checksum of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        // The cast is the reduction modulo 2^32.
        Self {
            crc: crc32fast::hash(bytes),
            length: bytes.len() as u32,
        }
    }

    /// The checksum of these bytes followed by those of `next`.
    #[must_use]
    pub fn concat(self, next: Self) -> Self {
        if next.length == 0 {
            return self;
        }
        let mut hasher = crc32fast::Hasher::new_with_initial(self.crc);
        hasher.combine(&crc32fast::Hasher::new_with_initial_len(
            next.crc,
            u64::from(next.length),
        ));
        Self {
            crc: hasher.finalize(),
            length: self.length.wrapping_add(next.length),
        }
    }
}

/// Encoding of messages for one kind of follower. The encoding methods run once per frame for all
/// followers that share the format and the cursor, not once per follower, so the dynamic dispatch
/// is negligible.
pub trait Format {
    /// Appends these gaps and messages; for a one-shot format, the whole response. Appends nothing
    /// if there are only gaps and the format does not report them.
    fn encode_messages(&self, batch: DeliveryBatch<'_>, out: &mut Vec<u8>);

    /// Appends a ping; nothing if the format has no pings.
    fn encode_ping(&self, out: &mut Vec<u8>);

    /// Appends the notice that a channel was deleted; for a one-shot format, the whole response.
    fn encode_deletion(
        &self,
        channel: &[u8],
        text: &[u8],
        resume_point: ResumePoint,
        out: &mut Vec<u8>,
    );

    /// Appends the end of the subscription.
    fn encode_end(&self, ending: EndReason, resume_point: ResumePoint, out: &mut Vec<u8>);

    /// Treatment of followers that are too far behind.
    fn slow_consumers(&self) -> SlowConsumerSettings;

    /// True if the first messages end the subscription (long-polling).
    fn is_one_shot(&self) -> bool;

    /// True if the connection serves further requests after the subscription.
    fn keeps_connection(&self) -> bool;

    /// Converts appended bytes into the bytes to send, for example by compressing them. Runs once
    /// for all receivers. Returns the checksum of the plain bytes if the format needs one.
    fn seal(&self, plain: Vec<u8>) -> (Vec<u8>, Checksum) {
        (plain, Checksum::default())
    }

    /// Checksum of the first bytes that every follower gets.
    fn head_checksum(&self) -> Checksum {
        Checksum::default()
    }

    /// Appends the trailer of a stream that consists of bytes with this checksum.
    fn encode_trailer(&self, _checksum: Checksum, _out: &mut Vec<u8>) {}

    /// True if followers answer pings.
    fn expects_pongs(&self) -> bool {
        false
    }

    /// Time within which a follower has to answer a ping before the format's end is sent; `None` =
    /// the server's `--ping-timeout`, after which the follower is dropped without notice.
    fn pong_timeout(&self) -> Option<Duration> {
        None
    }

    /// True if the deletion of any of its channels ends a follower of several channels.
    fn ends_with_any_channel(&self) -> bool {
        false
    }

    /// True if input from the client ends the follower.
    fn ends_with_input(&self) -> bool {
        false
    }

    /// True if a new subscriber that is to be the only one ends the follower.
    fn yields_to_new(&self) -> bool {
        false
    }

    /// Bytes of the request that the format retains.
    fn own_bytes(&self) -> usize {
        0
    }
}
