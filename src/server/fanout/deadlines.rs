//! The deadlines of a shard's connections: one sleep for all of them, and the handling of pauses.
//!
//! A process can be stopped, a machine suspended, a core given to other work. Input that arrives
//! during such a pause is in time, although the shard reads it late. Therefore deadlines that limit
//! a client are extended by the length of the pause, sockets are served before deadlines are
//! handled, and a connection is ended only if its socket is not ready. (nginx also handles socket
//! events before its timers.) Deadlines for the server's own actions, such as pings, are not
//! extended.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use super::follower::Follower;
use super::format::EndReason;
use super::shard::{ConnectionKey, Shard};
use super::state::{ShardContext, ShardState};
use super::timers::{Millis, NEVER};
use crate::server::broker::{Incident, SlowConsumerOutcome};
use crate::server::observe::failpoints;

/// The shard wakes up at least this often while there are deadlines. This is the precision with
/// which pauses are measured.
const MAX_SLEEP: Millis = 1000;

/// A wake-up that is late by this much counts as a pause. A turn takes about a millisecond, and
/// scheduling on a busy machine takes some tens of milliseconds.
const MIN_PAUSE: Millis = 200;

/// Time for which sockets are served after a pause, before deadlines are handled.
const SETTLE_TIME: Millis = 20;

/// Extension of an expired deadline whose socket turns out to be ready. The runtime reports the
/// socket within this time.
const RECHECK_AFTER: Millis = 1000;

/// Why a connection has to stop waiting for input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Its deadline has expired.
    Expired,
    /// The server is shutting down.
    Stopping,
}

/// Detection of pauses of the shard's thread.
#[derive(Debug)]
pub(super) struct Pauses {
    /// When the shard intends to wake up for its deadlines; `NEVER` without deadlines.
    wakes_at: Cell<Millis>,
    /// Total length of the pauses so far.
    total: Cell<Millis>,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            wakes_at: Cell::new(NEVER),
            total: Cell::new(0),
        }
    }
}

impl Pauses {
    /// Delay of the intended wake-up at `now`; 0 if it is too short to be a pause.
    fn current(&self, now: Millis) -> Millis {
        let late = now.saturating_sub(self.wakes_at.get());
        if late >= MIN_PAUSE { late } else { 0 }
    }
}

impl Shard {
    /// Handles the deadlines until the future is dropped. To be run once per shard.
    pub async fn run_timers(&self) {
        let mut settles_until = None;
        loop {
            let next = self.0.state.borrow().timers.next();
            let earlier = self.0.earlier_deadline.notified();
            let Some(due) = next else {
                self.0.pauses.wakes_at.set(NEVER);
                earlier.await;
                continue;
            };
            let now = self.now();
            let wakes_at = settles_until.unwrap_or_else(|| due.clamp(now, now + MAX_SLEEP));
            self.0.pauses.wakes_at.set(wakes_at);
            let wake_up = self.0.started + Duration::from_millis(wakes_at);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(wake_up.into()) => {}
                () = earlier, if settles_until.is_none() => {}
            }
            let has_paused = self.end_pause();
            // Handle the deadlines even if one pause follows another.
            if has_paused && settles_until.is_none() {
                settles_until = Some(self.now() + SETTLE_TIME);
            } else {
                settles_until = None;
                self.expire();
            }
        }
    }

    /// Extends the deadlines that limit clients if the shard resumes after a pause.
    fn end_pause(&self) -> bool {
        let pauses = &self.0.pauses;
        let length = pauses.current(self.now());
        if length == 0 {
            return false;
        }
        pauses.wakes_at.set(NEVER);
        pauses.total.set(pauses.total.get() + length);
        self.0.state.borrow_mut().extend_limits(length);
        tracing::debug!(
            pause_millis = length,
            "the thread was suspended; the deadlines of clients are extended"
        );
        true
    }

    /// Time since the start of the shard without the pauses. Limits on clients are measured in it.
    #[must_use]
    pub fn running_time(&self) -> Duration {
        let now = self.now();
        let pauses = &self.0.pauses;
        Duration::from_millis(now.saturating_sub(pauses.total.get() + pauses.current(now)))
    }

    /// Sets the deadline after which a connection without a follower is woken with
    /// [`Interruption::Expired`].
    pub fn set_deadline(&self, key: ConnectionKey, after: Option<Duration>) {
        let due = after.map(|after| {
            self.now()
                .saturating_add(u64::try_from(after.as_millis()).unwrap_or(NEVER))
        });
        let mut state = self.0.state.borrow_mut();
        let slot = &mut state.slots[key];
        slot.deadline = due;
        slot.has_expired = false;
        if due.is_some() {
            state.arm(key, self.0.send_timeout.get());
            self.report_deadline(&mut state);
        }
    }

    /// The reason for a connection to stop waiting: its deadline or, between two requests (`idle`),
    /// the shutdown of the server. Without a reason, the connection is woken when there is one. The
    /// deadline is extended if the socket `is_ready` but the runtime has not reported it yet.
    #[must_use]
    pub fn interruption(
        &self,
        key: ConnectionKey,
        idle: bool,
        is_ready: impl FnOnce() -> bool,
        cx: &Context<'_>,
    ) -> Option<Interruption> {
        let mut state = self.0.state.borrow_mut();
        let slot = &mut state.slots[key];
        slot.remember(cx);
        let has_expired = slot.has_expired;
        drop(state);
        if has_expired {
            if !is_ready() {
                return Some(Interruption::Expired);
            }
            self.set_deadline(key, Some(Duration::from_millis(RECHECK_AFTER)));
        }
        (idle && self.0.is_stopping.get()).then_some(Interruption::Stopping)
    }

    /// Records input of a follower, which proves that the client is alive.
    pub fn record_input(&self, key: ConnectionKey) {
        if let Some(follower) = self.0.state.borrow_mut().follower(key) {
            follower.pong_by = NEVER;
        }
    }

    /// Sets the time within which a follower has to continue a message that it has begun to send.
    /// After that it is dropped.
    pub fn set_input_deadline(&self, key: ConnectionKey, within: Option<Duration>) {
        self.with_state(|state, context| {
            if let Some(follower) = state.follower(key) {
                follower.input_by = within.map_or(NEVER, |within| {
                    context
                        .now
                        .saturating_add(u64::try_from(within.as_millis()).unwrap_or(NEVER))
                });
            }
            state.arm(key, context.send_timeout);
        });
    }

    /// Notifies the timer task if the earliest deadline has moved forward.
    pub(super) fn report_deadline(&self, state: &mut ShardState) {
        if std::mem::take(&mut state.deadline_moved) {
            self.0.earlier_deadline.notify_one();
        }
    }

    fn expire(&self) {
        let now = self.now();
        loop {
            let Some(key) = self.0.state.borrow_mut().timers.pop(now) else {
                return;
            };
            self.with_state(|state, context| {
                state.run_isolated(context, key, |state| state.expire(context, key));
                state.arm(key, context.send_timeout);
            });
        }
    }
}

impl ShardState {
    /// Extends the deadlines that limit clients. The timers notice it when the old deadlines
    /// expire.
    fn extend_limits(&mut self, by: Millis) {
        for (_, slot) in &mut self.slots {
            slot.deadline = slot.deadline.map(|deadline| deadline.saturating_add(by));
            if let Some(follower) = &mut slot.follower {
                for limit in [
                    &mut follower.pong_by,
                    &mut follower.input_by,
                    &mut follower.stalled_since,
                ] {
                    *limit = limit.saturating_add(by);
                }
            }
        }
    }

    /// Handles an expired deadline: of a connection, or the end, ping or time-out of a follower.
    pub(super) fn expire(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        let Some(follower) = &mut slot.follower else {
            if slot
                .deadline
                .is_some_and(|deadline| deadline <= context.now)
            {
                slot.has_expired = true;
                slot.wake();
            }
            return;
        };
        if follower.outcome.is_some()
            || follower.due(context.send_timeout) > context.now
            || follower.defer_if_ready(context)
        {
            return;
        }
        if follower.pong_by <= context.now && !follower.is_blocked() {
            if follower.format.pong_timeout().is_some() {
                tracing::debug!(
                    reason = Incident::UnansweredPing.name(),
                    "ending a subscription"
                );
                context.broker.count(Incident::UnansweredPing);
                return self.end(context, key, EndReason::UnansweredPing);
            }
            self.drop_follower(context, key, Incident::UnansweredPing);
        } else if follower.input_by <= context.now {
            self.drop_follower(context, key, Incident::BodyTimeout);
        } else if follower.is_blocked() {
            self.drop_slow(context, key, SlowConsumerOutcome::TimedOut, 0);
        } else if follower.ttl_at <= context.now {
            // Messages published before the end are sent first; their round may still be in
            // progress.
            self.resume(context, key);
            self.end(context, key, EndReason::TimeToLive);
        } else {
            self.ping(context, key);
        }
    }

    /// Drops a follower for this reason.
    fn drop_follower(&mut self, context: ShardContext<'_>, key: ConnectionKey, reason: Incident) {
        let Some(follower) = self.follower(key) else {
            return;
        };
        follower.abort_for(reason);
        self.after_write(context, key);
    }

    fn ping(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        failpoints::point("ping");
        let Some(follower) = self.follower(key) else {
            return;
        };
        let mut ping = Vec::new();
        follower.format.encode_ping(&mut ping);
        let (ping, checksum) = follower.format.seal(ping);
        follower.write_sealed(&Rc::new(ping), checksum, context.now);
        if follower.format.expects_pongs() && follower.pong_by == NEVER && !follower.is_blocked() {
            let within = follower
                .format
                .pong_timeout()
                .map(|within| Millis::try_from(within.as_millis()).unwrap_or(NEVER));
            follower.pong_by = context
                .now
                .saturating_add(within.unwrap_or(context.ping_timeout));
        }
        self.after_write(context, key);
    }
}

impl Follower {
    /// Extends an expired limit if the socket is ready for the awaited data, so that the connection
    /// can handle it first.
    fn defer_if_ready(&mut self, context: ShardContext<'_>) -> bool {
        let later = context.now.saturating_add(RECHECK_AFTER);
        let is_blocked = self.is_blocked();
        if is_blocked
            && self.stalled_since.saturating_add(context.send_timeout) <= context.now
            && self.outlet.has_room()
        {
            self.stalled_since = later.saturating_sub(context.send_timeout);
            return true;
        }
        let owes_pong = !is_blocked && self.pong_by <= context.now;
        if !(owes_pong || self.input_by <= context.now) || !self.outlet.has_input() {
            return false;
        }
        for limit in [&mut self.pong_by, &mut self.input_by] {
            *limit = if *limit <= context.now { later } else { *limit };
        }
        true
    }
}
