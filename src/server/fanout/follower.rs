//! A follower: a connection that gets what is published. A cursor for each of its channels and,
//! while its socket is full, the rest of what was being written; never a queue of messages.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::format::{Format, Sum};
use super::outlet::{Outlet, failure};
use super::pending::PendingShares;
use super::timers::{Millis, NEVER};
use crate::server::broker::{
    Broker, Channel, Charge, Cursor, Incident, OutOfMemory, Reservation, Start, SubscriptionTraits,
};
pub use crate::server::config::nhpm::Concurrency;

/// What a subscriber wants, resolved from its request.
pub struct Subscription {
    /// The channels, in the order of the request; a channel may stand here twice.
    pub channels: Channels,
    /// Where it goes on.
    pub cursor: Cursor,
    /// What its bytes look like.
    pub format: Rc<dyn Format>,
    /// What is written first: the head of the response and the header template.
    pub head: Vec<u8>,
    /// Ends after this time.
    pub time_to_live: Option<Duration>,
    /// Pinged when nothing was sent for so long.
    pub ping_interval: Option<Duration>,
    /// Stored messages of several channels are merged by position, so that every message is a
    /// cursor for all of them; otherwise each channel's come in one piece, in the order of the
    /// request.
    pub merges_backlog: bool,
    /// Every message begins `time_to_live` anew.
    pub rearms: bool,
    /// How it stands to other subscribers that wait for one message.
    pub concurrency: Concurrency,
}

/// The channels of a subscriber; a channel may stand here twice.
pub type Channels = SmallVec<[ChannelRequest; 1]>;

/// A channel that a subscriber wants.
#[derive(Clone, Debug)]
pub struct ChannelRequest {
    /// The channel.
    pub channel: Arc<Channel>,
    /// Number of stored messages to begin with, whatever the cursor says; 0 = the cursor decides.
    pub backtrack: u32,
    /// Where it starts in the terms of the channel; then neither `backtrack` nor the cursor counts.
    pub start: Option<Start>,
    /// Most subscribers of the channel, as far as this one is concerned.
    pub max_subscribers: Option<u64>,
}

impl ChannelRequest {
    /// A channel, from where the cursor says.
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
pub enum Outcome {
    /// All was sent; the connection may serve another request.
    Finished,
    /// All was sent; the connection is to be closed.
    Closed,
    /// The connection is broken or was given up; it is to be closed at once.
    Dropped,
}

/// One channel of a follower: its entry in the shard's channels, and its place among the members
/// there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    pub(super) channel: u32,
    pub(super) place: u32,
}

/// A follower of a shard.
pub(super) struct Follower {
    pub(super) outlet: Rc<Outlet>,
    pub(super) format: Rc<dyn Format>,
    pub(super) memberships: SmallVec<[Membership; 1]>,
    pub(super) ttl_at: Millis,
    pub(super) ping_every: Millis,
    /// From a message to its end; `NEVER` if its end stays where it is.
    pub(super) ttl_from_message: Millis,
    /// Until when the client has to complete what it began to send.
    pub(super) receive_by: Millis,
    /// Until when something has to come from the client, because it was pinged. Does not count
    /// while the socket is full: the ping stands behind what the client has not read yet.
    pub(super) answer_by: Millis,
    pub(super) last_sent: Millis,
    /// Since when the socket has taken nothing; `NEVER` while it takes all.
    pub(super) stalled_since: Millis,
    /// Its channels' backlogs are sent one after the other; the one of this membership is next.
    pub(super) backlog_in_path_order: Option<u32>,
    /// The last bytes were written or are pending; nothing may follow.
    pub(super) ended: bool,
    pub(super) outcome: Option<Outcome>,
    /// Why it was dropped, until that is recorded.
    pub(super) failure: Option<Incident>,
    /// Of what it was sent so far, where its format has sums.
    pub(super) sum: Sum,
    /// What it takes from the memory bound.
    pub(super) share: Option<Charge>,
    pending: Option<Box<Pending>>,
}

/// What waits for a full socket: what it took a part of, one reply, and the last bytes of the
/// subscription.
#[derive(Default)]
struct Pending {
    parts: VecDeque<Rc<Vec<u8>>>,
    /// Bytes of the first part that are written.
    offset: usize,
    /// The last part is a reply.
    ends_with_reply: bool,
    /// Shares of the memory bound: of the first part, which others may wait for, too, and of the
    /// rest.
    shares: Option<(Rc<Charge>, Reservation)>,
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
                .filter(|_| subscription.rearms)
                .map_or(NEVER, millis),
            receive_by: NEVER,
            answer_by: NEVER,
            last_sent: now,
            stalled_since: NEVER,
            backlog_in_path_order: None,
            ended: false,
            outcome: None,
            failure: None,
            sum: Sum::default(),
            share: None,
            pending: None,
        }
    }

    /// The manner of its subscriptions.
    pub(super) fn manner(&self) -> SubscriptionTraits {
        let max_lag = self.format.slow_consumers().max_lag;
        SubscriptionTraits {
            max_lag,
            is_one_shot: self.format.is_one_shot(),
            is_one_of_several: self.memberships.len() > 1,
        }
    }

    /// A message was sent.
    pub(super) fn rearm(&mut self, now: Millis) {
        if self.ttl_from_message != NEVER {
            self.ttl_at = now.saturating_add(self.ttl_from_message);
        }
    }

    /// Nothing is in the way of a further message.
    pub(super) fn takes_messages(&self) -> bool {
        self.pending.is_none() && !self.ended
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.pending.is_some()
    }

    /// Writes `bytes`, or as much as the socket takes and the rest when it is writable again.
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
            Err(error) => return self.fail_writing(&error),
        };
        self.stalled_since = now;
        self.pending = Some(Box::new(Pending {
            parts: VecDeque::from([Rc::clone(bytes)]),
            offset: written,
            ..Pending::default()
        }));
    }

    /// As [`Follower::write`], of sealed bytes with their sum.
    pub(super) fn write_sealed(&mut self, bytes: &Rc<Vec<u8>>, sum: Sum, now: Millis) {
        self.sum = self.sum.then(sum);
        self.write(bytes, now);
    }

    /// As [`Follower::write`], for the answer to a ping. While the socket is full only the newest
    /// one waits, as RFC 6455, section 5.5.3 allows: a client that pings without reading cannot
    /// make many of them wait.
    pub(super) fn reply(&mut self, bytes: Vec<u8>, now: Millis) {
        let bytes = Rc::new(bytes);
        let Some(pending) = &mut self.pending else {
            return self.write(&bytes, now);
        };
        // A part of the first one may be written.
        if pending.ends_with_reply && pending.parts.len() > 1 {
            pending.parts.pop_back();
        }
        pending.parts.push_back(bytes);
        pending.ends_with_reply = true;
    }

    /// Goes on writing after the socket became writable.
    pub(super) fn flush(&mut self, now: Millis) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        while let Some(part) = pending.parts.front() {
            match self.outlet.try_write(&part[pending.offset..]) {
                Ok(written) => {
                    // A full socket took more, so the client has read.
                    self.stalled_since = now;
                    self.answer_by = NEVER;
                    pending.offset += written;
                    if pending.offset < part.len() {
                        return;
                    }
                    pending.parts.pop_front();
                    pending.shares = None;
                    pending.offset = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.fail_writing(&error),
            }
        }
        self.pending = None;
        self.stalled_since = NEVER;
    }

    /// Sees to it that what waits for the socket is charged to the memory bound.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(super) fn cover_pending(
        &mut self,
        shares: &mut PendingShares,
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
        if let Some((_, reservation)) = &mut pending.shares {
            return reservation.cover(rest);
        }
        let share = shares.of(first, broker)?;
        let mut reservation = broker.reservation_of_connections();
        reservation.cover(rest)?;
        pending.shares = Some((share, reservation));
        Ok(())
    }

    /// Ends without sending anything more, for a reason that is to be recorded.
    pub(super) fn fail(&mut self, reason: Incident) {
        self.failure = Some(reason);
        self.give_up();
    }

    fn fail_writing(&mut self, error: &io::Error) {
        self.failure = failure(error);
        self.give_up();
    }

    /// Ends without sending anything more.
    pub(super) fn give_up(&mut self) {
        self.pending = None;
        self.ended = true;
        self.outcome = Some(Outcome::Dropped);
    }

    /// To be called when `ended` is set: sets the outcome as soon as all is written.
    pub(super) fn settle(&mut self) {
        if self.ended && self.pending.is_none() && self.outcome.is_none() {
            self.outcome = Some(if self.format.keeps_connection() {
                Outcome::Finished
            } else {
                Outcome::Closed
            });
        }
    }

    /// When something is to be done for it next.
    pub(super) fn due(&self, send_timeout: Millis) -> Millis {
        if self.is_blocked() {
            return self
                .stalled_since
                .saturating_add(send_timeout)
                .min(self.receive_by);
        }
        self.ttl_at
            .min(self.receive_by)
            .min(self.answer_by)
            .min(self.last_sent.saturating_add(self.ping_every))
    }
}
