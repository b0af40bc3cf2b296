//! The deadlines of a follower.

use std::time::Duration;

use super::context::ShardContext;
use super::outlet::Outlet;
use super::subscription::Subscription;
use super::timers::{Millis, NEVER, millis};

/// Extension of an expired deadline whose socket turns out to be ready. The runtime reports the
/// socket within this time.
pub(super) const RECHECK_AFTER: Millis = 1000;

/// The deadlines of a follower.
pub(super) struct FollowerDeadlines {
    ttl_at: Millis,
    ping_every: Millis,
    /// Time from a message to the end of the subscription; `NEVER` if messages do not postpone the
    /// end.
    ttl_from_message: Millis,
    /// When the client has to have completed a message that it has begun to send.
    input_by: Millis,
    /// When input has to have arrived from the client after a ping. Not enforced while the socket
    /// is full: the ping is then queued behind data that the client has not read.
    pong_by: Millis,
    last_sent: Millis,
    /// Time since which the socket accepts no data; `NEVER` while it is writable.
    stalled_since: Millis,
}

/// The deadline that has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpiredDeadline {
    /// The client did not answer a ping.
    Pong,
    /// The client did not complete a message.
    Input,
    /// The socket accepts no data.
    Send,
    /// The subscription has lasted for its time to live.
    TimeToLive,
    /// A ping is due.
    Ping,
}

impl FollowerDeadlines {
    pub(super) fn new(subscription: &Subscription, now: Millis) -> Self {
        Self {
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
        }
    }

    /// When the next deadline expires.
    pub(super) fn due(&self, is_blocked: bool, send_timeout: Millis) -> Millis {
        if is_blocked {
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

    /// The deadline that has expired at `now`, if one has.
    pub(super) fn expired(&self, is_blocked: bool, now: Millis) -> ExpiredDeadline {
        if self.pong_by <= now && !is_blocked {
            ExpiredDeadline::Pong
        } else if self.input_by <= now {
            ExpiredDeadline::Input
        } else if is_blocked {
            ExpiredDeadline::Send
        } else if self.ttl_at <= now {
            ExpiredDeadline::TimeToLive
        } else {
            ExpiredDeadline::Ping
        }
    }

    /// Extends an expired limit if the socket is ready for the awaited data, so that the connection
    /// can handle it first.
    pub(super) fn defer_if_ready(
        &mut self,
        is_blocked: bool,
        outlet: &Outlet,
        context: ShardContext<'_>,
    ) -> bool {
        let later = context.now.saturating_add(RECHECK_AFTER);
        if is_blocked
            && self.stalled_since.saturating_add(context.send_timeout) <= context.now
            && outlet.has_room()
        {
            self.stalled_since = later.saturating_sub(context.send_timeout);
            return true;
        }
        let owes_pong = !is_blocked && self.pong_by <= context.now;
        if !(owes_pong || self.input_by <= context.now) || !outlet.has_input() {
            return false;
        }
        for limit in [&mut self.pong_by, &mut self.input_by] {
            *limit = if *limit <= context.now { later } else { *limit };
        }
        true
    }

    /// Extends the deadlines that limit the client.
    pub(super) fn extend_limits(&mut self, by: Millis) {
        for limit in [
            &mut self.pong_by,
            &mut self.input_by,
            &mut self.stalled_since,
        ] {
            *limit = limit.saturating_add(by);
        }
    }

    /// Restarts the time to live, after a message.
    pub(super) fn restart_ttl(&mut self, now: Millis) {
        if self.ttl_from_message != NEVER {
            self.ttl_at = now.saturating_add(self.ttl_from_message);
        }
    }

    /// Records a write, which postpones the next ping.
    pub(super) fn record_write(&mut self, now: Millis) {
        self.last_sent = now;
    }

    /// Records that the socket accepts no more data.
    pub(super) fn record_stall(&mut self, now: Millis) {
        self.stalled_since = now;
    }

    /// Records that the full socket has accepted data, so the client has read.
    pub(super) fn record_progress(&mut self, now: Millis) {
        self.stalled_since = now;
        self.pong_by = NEVER;
    }

    /// Records that the socket is writable again.
    pub(super) fn record_drained(&mut self) {
        self.stalled_since = NEVER;
    }

    /// Records input of the client, which proves that it is alive.
    pub(super) fn record_input(&mut self) {
        self.pong_by = NEVER;
    }

    /// Starts waiting for the answer to a ping, unless one is awaited already.
    pub(super) fn await_pong(&mut self, within: Millis, now: Millis) {
        if self.pong_by == NEVER {
            self.pong_by = now.saturating_add(within);
        }
    }

    /// Sets the time within which the client has to complete a message.
    pub(super) fn limit_input(&mut self, within: Option<Duration>, now: Millis) {
        self.input_by = within.map_or(NEVER, |within| now.saturating_add(millis(within)));
    }
}
