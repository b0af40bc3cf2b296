//! A follower: a subscribed connection. It has a cursor for each of its channels and, while its
//! socket is full, the unwritten rest of a frame. It never has a queue of messages: what it has not
//! received is read from the log when its socket is writable.
//!
//! Its cursors are in the table of the shard, with its channels.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::context::ShardContext;
use super::encoder::{Gap, ResumePoint};
use super::end_reason::EndReason;
use super::follower_deadlines::{ExpiredDeadline, FollowerDeadlines};
use super::format::Format;
use super::gaps;
use super::outlet::{Outlet, socket_incident};
use super::pending_charges::PendingCharges;
use super::policy::{FollowerPolicy, UnansweredPing};
use super::subscription::{Subscription, SubscriptionOutcome};
use super::timers::{Millis, millis};
use crate::server::broker::{
    Broker, Charge, Incident, OutOfMemory, Reservation, SubscriptionTraits,
};
use crate::server::exchange::checksum::Checksum;

/// A subscribed connection of a shard.
pub(super) struct Follower {
    outlet: Rc<Outlet>,
    format: Rc<Format>,
    deadlines: FollowerDeadlines,
    /// Index of the channel whose backlog is sent next, while the backlogs of several channels are
    /// sent in path order.
    backlog_in_path_order: Option<u32>,
    /// The last bytes are written or pending; nothing may follow them.
    has_ended: bool,
    outcome: Option<SubscriptionOutcome>,
    /// Reason for dropping it that is not yet counted.
    incident: Option<Incident>,
    /// Checksum of everything sent so far, for formats that need one.
    checksum: Checksum,
    /// Its charge to the memory bound.
    charge: Option<Charge>,
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

/// What a follower's socket is ready for.
pub(super) enum SocketReadiness {
    /// There is input, or the end.
    Readable,
    /// It accepts the pending bytes.
    Writable,
}

impl Follower {
    pub(super) fn new(outlet: Rc<Outlet>, subscription: &Subscription, now: Millis) -> Self {
        Self {
            outlet,
            format: Rc::clone(&subscription.format),
            deadlines: FollowerDeadlines::new(subscription, now),
            backlog_in_path_order: None,
            has_ended: false,
            outcome: None,
            incident: None,
            checksum: Checksum::default(),
            charge: None,
            pending: None,
        }
    }

    pub(super) fn format(&self) -> &Rc<Format> {
        &self.format
    }

    pub(super) fn policy(&self) -> &FollowerPolicy {
        &self.format.policy
    }

    pub(super) fn deadlines(&mut self) -> &mut FollowerDeadlines {
        &mut self.deadlines
    }

    /// The traits of its subscriptions, on this number of channels.
    pub(super) fn traits(&self, channels: usize) -> SubscriptionTraits {
        SubscriptionTraits {
            max_lag: self.policy().slow_consumers.max_lag,
            is_one_shot: self.policy().is_one_shot,
            is_one_of_several: channels > 1,
        }
    }

    /// Keeps its charge to the memory bound.
    pub(super) fn hold_charge(&mut self, charge: Charge) {
        self.charge = Some(charge);
    }

    /// Index of the channel whose backlog is sent next, while backlogs are sent in path order.
    pub(super) fn backlog_in_path_order(&self) -> Option<u32> {
        self.backlog_in_path_order
    }

    pub(super) fn set_backlog_in_path_order(&mut self, index: Option<u32>) {
        self.backlog_in_path_order = index;
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
        let has_notice = gaps::append_gaps(&self.format.encoder, gaps, &mut notice);
        let (notice, checksum) = self.format.encoder.seal(notice);
        self.checksum = subscription.head_checksum.concat(checksum);
        head.extend_from_slice(&notice);
        if !head.is_empty() {
            self.write(&Rc::new(head), now);
        }
        self.has_ended = has_notice && self.policy().is_one_shot;
        self.has_ended
    }

    /// True if the next message can be written now.
    pub(super) fn takes_messages(&self) -> bool {
        self.pending.is_none() && !self.has_ended
    }

    /// True if its socket is full.
    pub(super) fn is_blocked(&self) -> bool {
        self.pending.is_some()
    }

    /// True if nothing may follow its last bytes.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Records that its last bytes are written or pending.
    pub(super) fn mark_ended(&mut self) {
        self.has_ended = true;
    }

    /// How it ended, once everything is written.
    pub(super) fn outcome(&self) -> Option<SubscriptionOutcome> {
        self.outcome
    }

    /// The reason for dropping it, if that is to be counted and was not.
    pub(super) fn take_incident(&mut self) -> Option<Incident> {
        self.incident.take()
    }

    /// Records why it is ended, for the access log.
    pub(super) fn record_ending(&self, ending: EndReason) {
        self.outlet.record_ending(ending);
    }

    /// What its socket is ready for. Otherwise the task of `cx` is woken when it is.
    pub(super) fn poll_socket(&self, cx: &mut Context<'_>) -> Poll<SocketReadiness> {
        if self.is_blocked() && self.outlet.poll_write_ready(cx).is_ready() {
            return Poll::Ready(SocketReadiness::Writable);
        }
        if self.outlet.poll_read_ready(cx).is_ready() {
            return Poll::Ready(SocketReadiness::Readable);
        }
        Poll::Pending
    }

    /// Writes as much of `bytes` as the socket accepts. The rest becomes pending.
    pub(super) fn write(&mut self, bytes: &Rc<Vec<u8>>, now: Millis) {
        self.deadlines.record_write(now);
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
        self.deadlines.record_stall(now);
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
                    self.deadlines.record_progress(now);
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
        self.deadlines.record_drained();
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
        let mut reservation = broker.memory().connection_reservation();
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
            self.outcome = Some(if self.policy().keeps_connection {
                SubscriptionOutcome::Finished
            } else {
                SubscriptionOutcome::Closed
            });
        }
    }

    /// When its next deadline expires; `None` once it has an outcome.
    pub(super) fn due(&self, send_timeout: Millis) -> Option<Millis> {
        self.outcome
            .is_none()
            .then(|| self.deadlines.due(self.is_blocked(), send_timeout))
    }

    /// The deadline that has expired. A limit on the client is extended instead if the socket turns
    /// out to be ready for the awaited data.
    pub(super) fn take_expired(&mut self, context: ShardContext<'_>) -> Option<ExpiredDeadline> {
        let is_blocked = self.is_blocked();
        self.due(context.send_timeout)
            .filter(|due| *due <= context.now)?;
        if self
            .deadlines
            .defer_if_ready(is_blocked, &self.outlet, context)
        {
            return None;
        }
        Some(self.deadlines.expired(is_blocked, context.now))
    }

    /// Sends a ping, and waits for the answer if the format expects one.
    pub(super) fn ping(&mut self, context: ShardContext<'_>) {
        let mut ping = Vec::new();
        self.format.encoder.encode_ping(&mut ping);
        let (ping, checksum) = self.format.encoder.seal(ping);
        self.write_sealed(&Rc::new(ping), checksum, context.now);
        if self.is_blocked() {
            return;
        }
        let within = match self.policy().unanswered_ping {
            UnansweredPing::Ignore => return,
            UnansweredPing::Drop => context.ping_timeout,
            UnansweredPing::End(within) => millis(within),
        };
        self.deadlines.await_pong(within, context.now);
    }

    /// Sends the notice that a channel was deleted.
    pub(super) fn send_deletion(
        &mut self,
        channel: &[u8],
        text: &[u8],
        resume_point: ResumePoint,
        now: Millis,
    ) {
        let mut bytes = Vec::new();
        self.format
            .encoder
            .encode_deletion(channel, text, resume_point, &mut bytes);
        let (bytes, checksum) = self.format.encoder.seal(bytes);
        self.write_sealed(&Rc::new(bytes), checksum, now);
    }

    /// The last bytes that the format sends for this reason.
    pub(super) fn encode_end(&self, ending: EndReason, resume_point: ResumePoint) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.format
            .encoder
            .encode_end(ending, resume_point, &mut bytes);
        let (mut bytes, checksum) = self.format.encoder.seal(bytes);
        self.format
            .encoder
            .encode_trailer(self.checksum.concat(checksum), &mut bytes);
        bytes
    }
}
