//! What a follower's bytes look like: the seam between the fan-out, which moves bytes, and the
//! subscriber modes, which know what they mean.

use std::time::Duration;

use bytes::Bytes;

use crate::message::Position;
use crate::server::broker::{Incident, Message, Missed};
use crate::server::config::SlowPolicy;

/// A message on its way to a follower.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Id of the channel.
    pub channel: &'a Bytes,
    /// The message.
    pub message: &'a Message,
}

/// Messages that are sent together.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// What is missing before them.
    pub gaps: &'a [Gap],
    /// The messages, in the order in which they are sent; empty only where there are gaps.
    pub deliveries: &'a [Delivery<'a>],
    /// A cursor at this position misses nothing and repeats nothing.
    pub horizon: Position,
}

/// Messages of a channel that a follower should have had and that are gone.
#[derive(Clone, Debug)]
pub struct Gap {
    /// Id of the channel.
    pub channel: Bytes,
    /// How many.
    pub missed: Missed,
    /// Right before the next message of all channels: a cursor here repeats no message and passes
    /// over none. A gap of another channel that comes later is told again.
    pub position: Position,
}

/// Where a follower stands when it is told something else than messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The present second.
    pub second: u64,
    /// Of the newest message that its channels have had; the beginning of the present second if
    /// there was none.
    pub newest: Position,
    /// Right before the next message that it is still due, if there is one.
    pub before_next: Option<Position>,
}

impl Standing {
    /// A cursor that misses nothing, and repeats nothing unless one channel has been served further
    /// than another.
    #[must_use]
    pub fn own(self) -> Position {
        self.before_next
            .map_or(self.newest, |next| next.min(self.newest))
    }

    /// The beginning of the present second, which is what the module gives (push-stream.md, section
    /// 10): its messages may be repeated. Never beyond what the follower is still due.
    #[must_use]
    pub fn this_second(self) -> Position {
        let second = Position::new(self.second, 0);
        self.before_next.map_or(second, |next| next.min(second))
    }
}

/// What becomes of followers that are too far behind.
#[derive(Clone, Copy, Debug)]
pub struct SlowConsumers {
    /// When one falls out of what is kept for it.
    pub policy: SlowPolicy,
    /// Bytes that one may be behind, beyond the stored messages.
    pub max_lag: u64,
}

/// Why a subscription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its time is over (`subscriber_connection_ttl`, `longpolling_connection_ttl`).
    TimeToLive,
    /// Its last channel was deleted.
    Deleted,
    /// The server ends.
    Shutdown,
    /// Another subscriber came that wants to be the only one.
    Conflict,
    /// It did not answer a ping.
    Silence,
    /// Something came from the client, which was to wait.
    Interrupted,
}

impl Ending {
    /// As what it is counted; `None` = as something else, by the code that ended it.
    #[must_use]
    pub fn incident(self) -> Option<Incident> {
        Some(match self {
            Ending::TimeToLive => Incident::EndedByTimeToLive,
            Ending::Deleted => Incident::EndedByDeletion,
            Ending::Shutdown => Incident::EndedByShutdown,
            Ending::Conflict => Incident::EndedByConflict,
            Ending::Interrupted => Incident::EndedByRequest,
            Ending::Silence => return None,
        })
    }
}

/// Checksum (CRC-32) and length of bytes, from which those of longer ones are made: what a
/// compressed stream says of itself at its end (RFC 1952, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// The checksum.
    pub crc: u32,
    /// The length, modulo 2^32.
    pub length: u32,
}

impl Sum {
    /// The sum of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        // The length counts modulo 2^32.
        Self {
            crc: crc32fast::hash(bytes),
            length: bytes.len() as u32,
        }
    }

    /// The sum of these bytes with those of `next` behind them.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
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

/// How messages are turned into bytes for a kind of follower. Called once per round for all
/// followers that share the format and stand at the same place, not once per follower.
pub trait Format {
    /// Appends the bytes of these gaps and messages; for a one-shot format the whole answer.
    /// Nothing, if there are only gaps and followers are not told of them.
    fn messages(&self, batch: Batch<'_>, out: &mut Vec<u8>);

    /// Appends a ping; nothing if the format has none.
    fn ping(&self, out: &mut Vec<u8>);

    /// Appends the news that a channel was deleted; for a one-shot format the whole answer.
    fn deleted(&self, channel: &[u8], text: &[u8], standing: Standing, out: &mut Vec<u8>);

    /// Appends what ends the subscription.
    fn end(&self, ending: Ending, standing: Standing, out: &mut Vec<u8>);

    /// How its followers are treated when they are too far behind.
    fn slow_consumers(&self) -> SlowConsumers;

    /// The first messages end the subscription (long-polling).
    fn is_one_shot(&self) -> bool;

    /// After its end the connection serves further requests.
    fn keeps_connection(&self) -> bool;

    /// Turns what it appended above into what is sent, once for all who get it, with the sum of it
    /// where the format has one.
    fn seal(&self, plain: Vec<u8>) -> (Vec<u8>, Sum) {
        (plain, Sum::default())
    }

    /// The sum of what every follower begins with.
    fn opening(&self) -> Sum {
        Sum::default()
    }

    /// Appends what comes after the end, for a follower that had bytes of this sum.
    fn closing(&self, _sum: Sum, _out: &mut Vec<u8>) {}

    /// A follower answers its pings.
    fn expects_pongs(&self) -> bool {
        false
    }

    /// How long a follower may take to answer a ping before it is told that it ends; `None` = the
    /// server's own time, and it is not told.
    fn pong_timeout(&self) -> Option<Duration> {
        None
    }

    /// A follower of several channels ends with the first of them that is deleted.
    fn ends_with_any_channel(&self) -> bool {
        false
    }

    /// A follower ends when something comes from its client.
    fn ends_with_input(&self) -> bool {
        false
    }

    /// A follower ends when another one wants to be the only one.
    fn yields(&self) -> bool {
        false
    }

    /// Bytes that it keeps of the request for which it was made.
    fn own_bytes(&self) -> usize {
        0
    }
}
