//! A connection in the table of its shard.

use std::task::{Context, Waker};

use smallvec::SmallVec;

use super::Membership;
use crate::server::fanout::follower::Follower;
use crate::server::fanout::timers::{Millis, NEVER};

/// A connection: idle, in a request, or with a follower.
#[derive(Default)]
pub(in crate::server::fanout) struct ConnectionSlot {
    waker: Option<Waker>,
    /// Deadline of a connection without a follower.
    deadline: Option<Millis>,
    has_expired: bool,
    pub(super) follower: Option<Follower>,
    /// The channels of the follower.
    pub(super) memberships: SmallVec<[Membership; 1]>,
}

impl ConnectionSlot {
    /// Wakes this task at the next event.
    pub(in crate::server::fanout) fn remember(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    /// Wakes the task of the connection.
    pub(in crate::server::fanout) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// The follower, if the connection follows.
    pub(in crate::server::fanout) fn follower(&self) -> Option<&Follower> {
        self.follower.as_ref()
    }

    pub(in crate::server::fanout) fn follower_mut(&mut self) -> Option<&mut Follower> {
        self.follower.as_mut()
    }

    /// Sets or removes the deadline of a connection without a follower.
    pub(in crate::server::fanout) fn set_deadline(&mut self, due: Option<Millis>) {
        self.deadline = due;
        self.has_expired = false;
    }

    /// Whether the deadline has expired.
    pub(in crate::server::fanout) fn has_expired(&self) -> bool {
        self.has_expired
    }

    /// Ends the wait of the connection, and wakes its task.
    pub(in crate::server::fanout) fn expire(&mut self) {
        self.has_expired = true;
        self.wake();
    }

    /// Ends the wait of the connection if its deadline has expired.
    pub(in crate::server::fanout) fn expire_if_due(&mut self, now: Millis) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.expire();
        }
    }

    /// When the next deadline of the connection or its follower expires.
    pub(in crate::server::fanout) fn due(&self, send_timeout: Millis) -> Millis {
        match &self.follower {
            Some(follower) => follower.due(send_timeout).unwrap_or(NEVER),
            None => self.deadline.filter(|_| !self.has_expired).unwrap_or(NEVER),
        }
    }

    /// Extends the deadlines that limit the client.
    pub(in crate::server::fanout) fn extend_limits(&mut self, by: Millis) {
        self.deadline = self.deadline.map(|deadline| deadline.saturating_add(by));
        if let Some(follower) = &mut self.follower {
            follower.deadlines().extend_limits(by);
        }
    }
}
