//! The deadlines of a shard's connections: one sleep for all of them, and what a pause of the shard
//! means for them.
//!
//! A process can be stopped, a machine suspended, a core given to other work. Input that arrives
//! during such a pause is in time, although the shard reads it late. So deadlines that limit a
//! client are moved by the length of the pause, the sockets are served before deadlines are
//! handled, and a connection is ended only if its socket is not ready. (nginx handles the events of
//! sockets before its timers, too.) What the server has to do itself, such as a ping, is not moved.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use super::follower::Follower;
use super::format::Ending;
use super::shard::{ConnectionKey, Shard};
use super::state::{ShardContext, State};
use super::timers::{Millis, NEVER};
use crate::server::broker::{Incident, Slowness};
use crate::server::failpoints;

/// While there are deadlines the shard wakes up at least this often: a pause is measured with this
/// precision.
const LONGEST_SLEEP: Millis = 1000;

/// Waking up this late is a pause. A turn takes about a millisecond, and scheduling on a busy
/// machine some tens.
const PAUSE: Millis = 200;

/// After a pause sockets are served for this long before deadlines are handled.
const SETTLE: Millis = 20;

/// A deadline whose socket is ready after all is moved by this: the runtime reports the socket
/// within it.
const SECOND_LOOK: Millis = 1000;

/// Why a connection that serves requests must not wait on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The deadline is over.
    Expired,
    /// The server ends.
    Stopping,
}

/// The pauses of a shard.
#[derive(Debug)]
pub(super) struct Pauses {
    /// When the shard wanted to wake up for its deadlines; `NEVER` while there are none.
    wakes_at: Cell<Millis>,
    /// The length of all pauses so far.
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
    /// How late it is now for what the shard wanted to do; 0 if that is not a pause.
    fn current(&self, now: Millis) -> Millis {
        let late = now.saturating_sub(self.wakes_at.get());
        if late >= PAUSE { late } else { 0 }
    }
}

impl Shard {
    /// Handles the deadlines until the future is dropped. To be run once.
    pub async fn keep_time(&self) {
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
            let wakes_at = settles_until.unwrap_or_else(|| due.clamp(now, now + LONGEST_SLEEP));
            self.0.pauses.wakes_at.set(wakes_at);
            let wake_up = self.0.started + Duration::from_millis(wakes_at);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(wake_up.into()) => {}
                () = earlier, if settles_until.is_none() => {}
            }
            let has_paused = self.end_pause();
            // Where pause follows pause, the deadlines must be handled nevertheless.
            if has_paused && settles_until.is_none() {
                settles_until = Some(self.now() + SETTLE);
            } else {
                settles_until = None;
                self.expire();
            }
        }
    }

    /// If the shard comes back from a pause: moves the deadlines that limit clients by its length.
    fn end_pause(&self) -> bool {
        let pauses = &self.0.pauses;
        let length = pauses.current(self.now());
        if length == 0 {
            return false;
        }
        pauses.wakes_at.set(NEVER);
        pauses.total.set(pauses.total.get() + length);
        self.0.state.borrow_mut().move_limits(length);
        tracing::debug!(
            milliseconds = length,
            "this thread did not run for a while: clients get as much more time"
        );
        true
    }

    /// Time since the start of the shard, without the pauses in which it did not run: what limits
    /// on clients are measured in.
    #[must_use]
    pub fn served_time(&self) -> Duration {
        let now = self.now();
        let pauses = &self.0.pauses;
        Duration::from_millis(now.saturating_sub(pauses.total.get() + pauses.current(now)))
    }

    /// Sets the time after which a connection that serves requests is woken with
    /// [`Interruption::Expired`].
    pub fn set_deadline(&self, key: ConnectionKey, after: Option<Duration>) {
        let due = after.map(|after| {
            self.now()
                .saturating_add(u64::try_from(after.as_millis()).unwrap_or(NEVER))
        });
        let mut state = self.0.state.borrow_mut();
        let slot = &mut state.slots[key];
        slot.deadline = due;
        slot.expired = false;
        if due.is_some() {
            state.arm(key, self.0.send_timeout.get());
            self.report_deadline(&mut state);
        }
    }

    /// What keeps a connection from waiting on: its deadline, or, between two requests (`idle`),
    /// the end of the server. If there is nothing, the connection is woken when there is. A
    /// connection whose socket `is_ready` for what it waits for, although the runtime has not
    /// reported that yet, gets more time.
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
        let has_expired = slot.expired;
        drop(state);
        if has_expired {
            if !is_ready() {
                return Some(Interruption::Expired);
            }
            self.set_deadline(key, Some(Duration::from_millis(SECOND_LOOK)));
        }
        (idle && self.0.stopping.get()).then_some(Interruption::Stopping)
    }

    /// Something came from a follower: it is there.
    pub fn heard(&self, key: ConnectionKey) {
        if let Some(follower) = self.0.state.borrow_mut().follower(key) {
            follower.answer_by = NEVER;
        }
    }

    /// Sets the time within which more has to come of what a follower began to send; then it is
    /// dropped.
    pub fn expect_more(&self, key: ConnectionKey, within: Option<Duration>) {
        self.with(|state, moment| {
            if let Some(follower) = state.follower(key) {
                follower.receive_by = within.map_or(NEVER, |within| {
                    moment
                        .now
                        .saturating_add(u64::try_from(within.as_millis()).unwrap_or(NEVER))
                });
            }
            state.arm(key, moment.send_timeout);
        });
    }

    /// Notifies the task that sleeps until the next deadline of an earlier one.
    pub(super) fn report_deadline(&self, state: &mut State) {
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
            self.with(|state, moment| {
                state.isolated(moment, key, |state| state.expire(moment, key));
                state.arm(key, moment.send_timeout);
            });
        }
    }
}

impl State {
    /// Moves the deadlines that limit clients. The timers find out when the old ones come up.
    fn move_limits(&mut self, by: Millis) {
        for (_, slot) in &mut self.slots {
            slot.deadline = slot.deadline.map(|deadline| deadline.saturating_add(by));
            if let Some(follower) = &mut slot.follower {
                for limit in [
                    &mut follower.answer_by,
                    &mut follower.receive_by,
                    &mut follower.stalled_since,
                ] {
                    *limit = limit.saturating_add(by);
                }
            }
        }
    }

    /// Handles what is due: a connection's deadline, a follower's end, ping or time-out.
    pub(super) fn expire(&mut self, moment: ShardContext<'_>, key: ConnectionKey) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        let Some(follower) = &mut slot.follower else {
            if slot.deadline.is_some_and(|deadline| deadline <= moment.now) {
                slot.expired = true;
                slot.wake();
            }
            return;
        };
        if follower.outcome.is_some()
            || follower.due(moment.send_timeout) > moment.now
            || follower.gets_second_look(moment)
        {
            return;
        }
        if follower.answer_by <= moment.now && !follower.is_blocked() {
            if follower.format.pong_timeout().is_some() {
                tracing::debug!(
                    reason = Incident::UnansweredPing.name(),
                    "a subscriber is ended"
                );
                moment.broker.count(Incident::UnansweredPing);
                return self.end(moment, key, Ending::Silence);
            }
            self.give_up(moment, key, Incident::UnansweredPing);
        } else if follower.receive_by <= moment.now {
            self.give_up(moment, key, Incident::BodyTimeout);
        } else if follower.is_blocked() {
            self.drop_slow(moment, key, Slowness::TimedOut, 0);
        } else if follower.ttl_at <= moment.now {
            // What was published before the end comes before it: its round may still be under way.
            self.resume(moment, key);
            self.end(moment, key, Ending::TimeToLive);
        } else {
            self.ping(moment, key);
        }
    }

    /// Drops a follower for this reason.
    fn give_up(&mut self, moment: ShardContext<'_>, key: ConnectionKey, reason: Incident) {
        let Some(follower) = self.follower(key) else {
            return;
        };
        follower.fail(reason);
        self.after_write(moment, key);
    }

    fn ping(&mut self, moment: ShardContext<'_>, key: ConnectionKey) {
        failpoints::point("ping");
        let Some(follower) = self.follower(key) else {
            return;
        };
        let mut ping = Vec::new();
        follower.format.ping(&mut ping);
        let (ping, sum) = follower.format.seal(ping);
        follower.write_sealed(&Rc::new(ping), sum, moment.now);
        if follower.format.expects_pongs() && follower.answer_by == NEVER && !follower.is_blocked()
        {
            let within = follower
                .format
                .pong_timeout()
                .map(|within| Millis::try_from(within.as_millis()).unwrap_or(NEVER));
            follower.answer_by = moment
                .now
                .saturating_add(within.unwrap_or(moment.ping_timeout));
        }
        self.after_write(moment, key);
    }
}

impl Follower {
    /// Whether a limit is over although the socket is ready for what is awaited: then the
    /// connection gets the time to handle that.
    fn gets_second_look(&mut self, moment: ShardContext<'_>) -> bool {
        let later = moment.now.saturating_add(SECOND_LOOK);
        let is_blocked = self.is_blocked();
        if is_blocked
            && self.stalled_since.saturating_add(moment.send_timeout) <= moment.now
            && self.outlet.has_room()
        {
            self.stalled_since = later.saturating_sub(moment.send_timeout);
            return true;
        }
        let owes_answer = !is_blocked && self.answer_by <= moment.now;
        if !(owes_answer || self.receive_by <= moment.now) || !self.outlet.has_input() {
            return false;
        }
        for limit in [&mut self.answer_by, &mut self.receive_by] {
            *limit = if *limit <= moment.now { later } else { *limit };
        }
        true
    }
}
