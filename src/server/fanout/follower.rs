//! A follower: a subscribed connection. It has a cursor for each of its channels and, while its
//! socket is full, the unwritten rest of a frame. It never has a queue of messages: what it has not
//! received is read from the log when its socket is writable.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::format::{Checksum, Format, Gap};
use super::outlet::{Outlet, socket_incident};
use super::pending_charges::PendingCharges;
use super::slow;
use super::timers::{Millis, NEVER};
use crate::server::broker::{
    Broker, Channel, ChannelStart, Charge, Cursor, Incident, OutOfMemory, Reservation,
    SubscriptionTraits,
};
pub(super) use crate::server::config::model::nhpm::Concurrency;

/// A subscription, resolved from a subscriber's request.
pub struct Subscription {
    /// The channels in the order of the request. A channel may occur twice.
    pub channels: Channels,
    /// Position from which the subscriber resumes.
    pub cursor: Cursor,
    /// Encoding of its messages.
    pub format: Rc<dyn Format>,
    /// First bytes to write: the head of the response and the header template.
    pub head: Vec<u8>,
    /// The subscription ends after this time.
    pub time_to_live: Option<Duration>,
    /// Time without a write after which the subscriber is pinged.
    pub ping_interval: Option<Duration>,
    /// Merge the stored messages of several channels by position, so that every message is a valid
    /// cursor for all of them. Otherwise the backlogs are sent channel by channel, in the order of
    /// the request.
    pub merges_backlog: bool,
    /// Every message restarts `time_to_live`.
    pub restarts_ttl: bool,
    /// How it competes with other subscribers that wait for a single message.
    pub concurrency: Concurrency,
}

/// The channels of a subscriber. A channel may occur twice.
pub type Channels = SmallVec<[ChannelRequest; 1]>;

/// One channel of a subscription.
#[derive(Clone, Debug)]
pub struct ChannelRequest {
    /// The channel to follow.
    pub channel: Arc<Channel>,
    /// Number of stored messages to start with; 0 = start at the cursor.
    pub backtrack: u32,
    /// Start within this channel; overrides `backtrack` and the cursor.
    pub start: Option<ChannelStart>,
    /// Limit on the channel's subscribers that the location of this one sets.
    pub max_subscribers: Option<u64>,
}

impl ChannelRequest {
    /// A request for a channel that starts at the subscription's cursor.
    #[must_use]
    pub fn new(channel: Arc<Channel>) -> Self {
        Self {
            channel,
            backtrack: 0,
            start: None,
            max_subscribers: None,
        }
    }
}

/// How a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionOutcome {
    /// Everything was sent; the connection can serve another request.
    Finished,
    /// Everything was sent; the connection is to be closed.
    Closed,
    /// The connection failed or was dropped; it is to be closed at once.
    Dropped,
}

/// Link from a follower to one of its channels: indexes of the channel in the shard, and of the
/// follower in the channel's members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    pub(super) channel: u32,
    pub(super) member_index: u32,
}

/// A subscribed connection of a shard.
pub(super) struct Follower {
    pub(super) outlet: Rc<Outlet>,
    pub(super) format: Rc<dyn Format>,
    pub(super) memberships: SmallVec<[Membership; 1]>,
    pub(super) ttl_at: Millis,
    pub(super) ping_every: Millis,
    /// Time from a message to the end of the subscription; `NEVER` if messages do not postpone the
    /// end.
    pub(super) ttl_from_message: Millis,
    /// When the client has to have completed a message that it has begun to send.
    pub(super) input_by: Millis,
    /// When input has to have arrived from the client after a ping. Not enforced while the socket
    /// is full: the ping is then queued behind data that the client has not read.
    pub(super) pong_by: Millis,
    pub(super) last_sent: Millis,
    /// Time since which the socket accepts no data; `NEVER` while it is writable.
    pub(super) stalled_since: Millis,
    /// Index of the membership whose backlog is sent next, while the backlogs of several channels
    /// are sent in path order.
    pub(super) backlog_in_path_order: Option<u32>,
    /// The last bytes are written or pending; nothing may follow them.
    pub(super) has_ended: bool,
    pub(super) outcome: Option<SubscriptionOutcome>,
    /// Reason for dropping it that is not yet counted.
    pub(super) incident: Option<Incident>,
    /// Checksum of everything sent so far, for formats that need one.
    pub(super) checksum: Checksum,
    /// Its charge to the memory bound.
    pub(super) charge: Option<Charge>,
    pending: Option<Box<PendingWrites>>,
}

/// Bytes that wait for a full socket: the rest of a partly written frame, at most one reply, and
/// the last bytes of the subscription.
#[derive(Default)]
struct PendingWrites {
    parts: VecDeque<Rc<Vec<u8>>>,
    /// Bytes of the first part that are already written.
    offset: usize,
    /// The last part is a reply.
    ends_with_reply: bool,
    /// Charges to the memory bound: for the first part, which other followers may share, and for
    /// the rest.
    charges: Option<(Rc<Charge>, Reservation)>,
}

impl Follower {
    pub(super) fn new(outlet: Rc<Outlet>, subscription: &Subscription, now: Millis) -> Self {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(NEVER);
        Self {
            outlet,
            format: Rc::clone(&subscription.format),
            memberships: SmallVec::new(),
            ttl_at: subscription
                .time_to_live
                .map_or(NEVER, |ttl| now.saturating_add(millis(ttl))),
            ping_every: subscription.ping_interval.map_or(NEVER, millis),
            ttl_from_message: subscription
                .time_to_live
                .filter(|_| subscription.restarts_ttl)
                .map_or(NEVER, millis),
            input_by: NEVER,
            pong_by: NEVER,
            last_sent: now,
            stalled_since: NEVER,
            backlog_in_path_order: None,
            has_ended: false,
            outcome: None,
            incident: None,
            checksum: Checksum::default(),
            charge: None,
            pending: None,
        }
    }

    /// The traits of its subscriptions.
    pub(super) fn traits(&self) -> SubscriptionTraits {
        let max_lag = self.format.slow_consumers().max_lag;
        SubscriptionTraits {
            max_lag,
            is_one_shot: self.format.is_one_shot(),
            is_one_of_several: self.memberships.len() > 1,
        }
    }

    /// Writes the head of the response, with the gaps between the subscriber's cursor and the
    /// oldest stored message. Returns true if that is the whole response, which is so for a gap in
    /// a one-shot format.
    pub(super) fn write_head(
        &mut self,
        subscription: &mut Subscription,
        gaps: &[Gap],
        now: Millis,
    ) -> bool {
        let mut head = std::mem::take(&mut subscription.head);
        let mut notice = Vec::new();
        let has_notice = slow::append_gaps(&self.format, gaps, &mut notice);
        let (notice, checksum) = self.format.seal(notice);
        self.checksum = self.format.head_checksum().concat(checksum);
        head.extend_from_slice(&notice);
        if !head.is_empty() {
            self.write(&Rc::new(head), now);
        }
        self.has_ended = has_notice && self.format.is_one_shot();
        self.has_ended
    }

    /// Restarts its time to live, after a message.
    pub(super) fn restart_ttl(&mut self, now: Millis) {
        if self.ttl_from_message != NEVER {
            self.ttl_at = now.saturating_add(self.ttl_from_message);
        }
    }

    /// True if the next message can be written now.
    pub(super) fn takes_messages(&self) -> bool {
        self.pending.is_none() && !self.has_ended
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.pending.is_some()
    }

    /// Writes as much of `bytes` as the socket accepts. The rest becomes pending.
    pub(super) fn write(&mut self, bytes: &Rc<Vec<u8>>, now: Millis) {
        self.last_sent = now;
        if let Some(pending) = &mut self.pending {
            pending.parts.push_back(Rc::clone(bytes));
            pending.ends_with_reply = false;
            return;
        }
        if bytes.is_empty() {
            return;
        }
        let written = match self.outlet.try_write(bytes) {
            Ok(written) if written == bytes.len() => return,
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return self.abort_write(&error),
        };
        self.stalled_since = now;
        self.pending = Some(Box::new(PendingWrites {
            parts: VecDeque::from([Rc::clone(bytes)]),
            offset: written,
            ..PendingWrites::default()
        }));
    }

    /// Writes sealed bytes, as [`Follower::write`] does, and adds them to the checksum.
    pub(super) fn write_sealed(&mut self, bytes: &Rc<Vec<u8>>, checksum: Checksum, now: Millis) {
        self.checksum = self.checksum.concat(checksum);
        self.write(bytes, now);
    }

    /// Writes the reply to a ping. While the socket is full only the newest reply is pending, as
    /// RFC 6455, section 5.5.3 allows: a client that pings without reading cannot make replies pile
    /// up.
    pub(super) fn reply(&mut self, bytes: Vec<u8>, now: Millis) {
        let bytes = Rc::new(bytes);
        let Some(pending) = &mut self.pending else {
            return self.write(&bytes, now);
        };
        // The first part may be partly written, so it has to stay.
        if pending.ends_with_reply && pending.parts.len() > 1 {
            pending.parts.pop_back();
        }
        pending.parts.push_back(bytes);
        pending.ends_with_reply = true;
    }

    /// Continues writing after the socket has become writable.
    pub(super) fn flush(&mut self, now: Millis) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        while let Some(part) = pending.parts.front() {
            match self.outlet.try_write(&part[pending.offset..]) {
                Ok(written) => {
                    // The socket accepts data again, so the client has read.
                    self.stalled_since = now;
                    self.pong_by = NEVER;
                    pending.offset += written;
                    if pending.offset < part.len() {
                        return;
                    }
                    pending.parts.pop_front();
                    pending.charges = None;
                    pending.offset = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.abort_write(&error),
            }
        }
        self.pending = None;
        self.stalled_since = NEVER;
    }

    /// Charges the pending bytes to the memory bound.
    ///
    /// # Errors
    /// When the bound is reached.
    pub(super) fn charge_pending(
        &mut self,
        charges: &mut PendingCharges,
        broker: &Broker,
    ) -> Result<(), OutOfMemory> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        let Some(first) = pending.parts.front() else {
            return Ok(());
        };
        let rest = pending
            .parts
            .iter()
            .skip(1)
            .map(|part| part.capacity())
            .sum();
        if let Some((_, reservation)) = &mut pending.charges {
            return reservation.reserve(rest);
        }
        let charge = charges.charge(first, broker)?;
        let mut reservation = broker.connection_reservation();
        reservation.reserve(rest)?;
        pending.charges = Some((charge, reservation));
        Ok(())
    }

    /// Drops the follower for a reason that is to be counted.
    pub(super) fn abort_for(&mut self, reason: Incident) {
        self.incident = Some(reason);
        self.abort();
    }

    fn abort_write(&mut self, error: &io::Error) {
        self.incident = socket_incident(error);
        self.abort();
    }

    /// Drops the follower without sending anything more.
    pub(super) fn abort(&mut self) {
        self.pending = None;
        self.has_ended = true;
        self.outcome = Some(SubscriptionOutcome::Dropped);
    }

    /// Sets the outcome once the follower has ended and everything is written.
    pub(super) fn settle(&mut self) {
        if self.has_ended && self.pending.is_none() && self.outcome.is_none() {
            self.outcome = Some(if self.format.keeps_connection() {
                SubscriptionOutcome::Finished
            } else {
                SubscriptionOutcome::Closed
            });
        }
    }

    /// When its next deadline expires.
    pub(super) fn due(&self, send_timeout: Millis) -> Millis {
        if self.is_blocked() {
            return self
                .stalled_since
                .saturating_add(send_timeout)
                .min(self.input_by);
        }
        self.ttl_at
            .min(self.input_by)
            .min(self.pong_by)
            .min(self.last_sent.saturating_add(self.ping_every))
    }
}
