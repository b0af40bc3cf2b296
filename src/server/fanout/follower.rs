//! A follower: a subscribed connection. It has a cursor for each of its channels and, while its
//! socket is full, the unwritten rest of a frame. It never has a queue of messages: what it has not
//! received is read from the log when its socket is writable.
//!
//! Its cursors are in the table of the shard, with its channels.

use std::rc::Rc;

use super::body_outlet::BodyOutlet;
use super::context::ShardContext;
use super::encoder::{Gap, ResumePoint};
use super::end_reason::EndReason;
use super::follower_deadlines::{ExpiredDeadline, FollowerDeadlines};
use super::format::Format;
use super::frame::PayloadFrame;
use super::gaps;
use super::outlet::Outlet;
use super::policy::{FollowerPolicy, UnansweredPing};
use super::subscription::Subscription;
use super::timers::{Millis, millis};
use crate::server::broker::{Charge, SubscriptionTraits};
use crate::server::exchange::checksum::Checksum;
use crate::server::exchange::response::ResponseWriter;

/// A subscribed connection of a shard.
pub(super) struct Follower {
    body: BodyOutlet,
    format: Rc<Format>,
    deadlines: FollowerDeadlines,
    /// Index of the channel whose backlog is sent next, while the backlogs of several channels are
    /// sent in path order.
    backlog_in_path_order: Option<u32>,
    /// Checksum of all payload so far, for formats that need one.
    checksum: Checksum,
    /// Its charge to the memory bound.
    charge: Option<Charge>,
}

impl Follower {
    pub(super) fn new(outlet: Rc<Outlet>, subscription: &Subscription, now: Millis) -> Self {
        Self {
            body: BodyOutlet::new(outlet, subscription),
            format: Rc::clone(&subscription.format),
            deadlines: FollowerDeadlines::new(subscription, now),
            backlog_in_path_order: None,
            checksum: Checksum::default(),
            charge: None,
        }
    }

    /// Its socket, with the state of the response.
    pub(super) fn body(&self) -> &BodyOutlet {
        &self.body
    }

    pub(super) fn body_mut(&mut self) -> &mut BodyOutlet {
        &mut self.body
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

    /// Writes the head of the response and its first payload, with the gaps between the
    /// subscriber's cursor and the oldest stored message. Returns true if that is the whole
    /// response, which is so for a gap in a one-shot format.
    pub(super) fn write_head(
        &mut self,
        subscription: &Subscription,
        writer: &dyn ResponseWriter,
        gaps: &[Gap],
        now: Millis,
    ) -> bool {
        let framing = self.body.framing();
        let mut head = Vec::new();
        if let Some(opening) = &subscription.opening {
            writer.write_head(&opening.head, framing, &mut head);
            for piece in &opening.pieces {
                framing.piece(piece, &mut head);
            }
            self.checksum = opening.checksum;
        }
        let notice = gaps::encode_gaps(&self.format, gaps);
        self.checksum = self.checksum.concat(notice.checksum());
        head.extend_from_slice(notice.framed(framing));
        if !head.is_empty() {
            self.write(&Rc::new(PayloadFrame::unframed(head)), now);
        }
        if self.policy().is_one_shot && !notice.is_empty() {
            self.body.mark_ended();
        }
        self.body.has_ended()
    }

    /// True if the next message can be written now.
    pub(super) fn takes_messages(&self) -> bool {
        !self.body.is_blocked() && !self.body.has_ended()
    }

    /// Writes as much of `frame` as the socket accepts. The rest becomes pending.
    pub(super) fn write(&mut self, frame: &Rc<PayloadFrame>, now: Millis) {
        self.checksum = self.checksum.concat(frame.checksum());
        self.deadlines.record_write(now);
        if self.body.write(frame) {
            self.deadlines.record_stall(now);
        }
    }

    /// Writes the reply to a ping. While the socket is full only the newest reply is pending, as
    /// RFC 6455, section 5.5.3 allows: a client that pings without reading cannot make replies pile
    /// up.
    pub(super) fn reply(&mut self, bytes: Vec<u8>, now: Millis) {
        let reply = Rc::new(PayloadFrame::unframed(bytes));
        if !self.body.queue_reply(&reply) {
            self.write(&reply, now);
        }
    }

    /// Continues writing after the socket has become writable.
    pub(super) fn flush(&mut self, now: Millis) {
        let progress = self.body.flush();
        if progress.has_written {
            self.deadlines.record_progress(now);
        }
        if progress.has_drained {
            self.deadlines.record_drained();
        }
    }

    /// When its next deadline expires; `None` once it has an outcome.
    pub(super) fn due(&self, send_timeout: Millis) -> Option<Millis> {
        let is_blocked = self.body.is_blocked();
        self.body
            .outcome()
            .is_none()
            .then(|| self.deadlines.due(is_blocked, send_timeout))
    }

    /// The deadline that has expired. A limit on the client is extended instead if the socket turns
    /// out to be ready for the awaited data.
    pub(super) fn take_expired(&mut self, context: ShardContext<'_>) -> Option<ExpiredDeadline> {
        let is_blocked = self.body.is_blocked();
        self.due(context.send_timeout)
            .filter(|due| *due <= context.now)?;
        if self
            .deadlines
            .defer_if_ready(is_blocked, self.body.socket(), context)
        {
            return None;
        }
        Some(self.deadlines.expired(is_blocked, context.now))
    }

    /// Sends a ping, and waits for the answer if the format expects one.
    pub(super) fn ping(&mut self, context: ShardContext<'_>) {
        let ping = Rc::clone(self.format.ping());
        self.write(&ping, context.now);
        if self.body.is_blocked() {
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
        let notice = self.format.encode_notice(|encoder, out| {
            encoder.encode_deletion(channel, text, resume_point, out);
        });
        self.write(&Rc::new(notice), now);
    }

    /// The last frame that the format sends for this reason, with the end of the response.
    pub(super) fn encode_end(
        &self,
        ending: EndReason,
        resume_point: ResumePoint,
    ) -> Rc<PayloadFrame> {
        let last = self.format.encode_notice(|encoder, out| {
            encoder.encode_end(ending, resume_point, out);
        });
        let checksum = self.checksum.concat(last.checksum());
        Rc::new(self.body.end(last, &self.format.trailer(checksum)))
    }
}
