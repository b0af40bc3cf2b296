//! The deadlines of a shard's connections: one sleep for all of them, and the handling of pauses.
//!
//! A process can be stopped, a machine suspended, a core given to other work. Input that arrives
//! during such a pause is in time, although the shard reads it late. Therefore deadlines that limit
//! a client are extended by the length of the pause, sockets are served before deadlines are
//! handled, and a connection is ended only if its socket is not ready. (nginx also handles socket
//! events before its timers.) Deadlines for the server's own actions, such as pings, are not
//! extended.

use std::task::Context;
use std::time::Duration;

use super::Shard;
use crate::server::fanout::follower_deadlines::RECHECK_AFTER;
use crate::server::fanout::table::ConnectionKey;
use crate::server::fanout::timers::{Millis, NEVER, millis};

/// The shard wakes up at least this often while there are deadlines. This is the precision with
/// which pauses are measured.
const MAX_SLEEP: Millis = 1000;

/// Time for which sockets are served after a pause, before deadlines are handled.
const SETTLE_TIME: Millis = 20;

/// Why a connection has to stop waiting for input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Its deadline has expired.
    Expired,
    /// The server is shutting down.
    Stopping,
}

impl Shard {
    /// Handles the deadlines until the future is dropped. To be run once per shard.
    pub async fn run_timers(&self) {
        let mut settles_until = None;
        loop {
            let next = self.0.state.borrow().followers().next_deadline();
            let earlier = self.0.earlier_deadline.notified();
            let Some(due) = next else {
                self.0.pauses.set_wake_up(NEVER);
                earlier.await;
                continue;
            };
            let now = self.now();
            let wakes_at = settles_until.unwrap_or_else(|| due.clamp(now, now + MAX_SLEEP));
            self.0.pauses.set_wake_up(wakes_at);
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
        let Some(length) = self.0.pauses.end(self.now()) else {
            return false;
        };
        self.0
            .state
            .borrow_mut()
            .followers_mut()
            .extend_limits(length);
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
        Duration::from_millis(now.saturating_sub(self.0.pauses.total(now)))
    }

    /// Sets the deadline after which a connection without a follower is woken with
    /// [`Interruption::Expired`].
    pub fn set_deadline(&self, key: ConnectionKey, after: Option<Duration>) {
        let due = after.map(|after| self.now().saturating_add(millis(after)));
        let mut state = self.0.state.borrow_mut();
        let followers = state.followers_mut();
        if let Some(slot) = followers.table_mut().slot_mut(key) {
            slot.set_deadline(due);
        }
        if due.is_some() {
            followers.arm(key, self.0.send_timeout.get());
            self.report_deadline(followers);
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
        let slot = state.followers_mut().table_mut().slot_mut(key);
        let has_expired = slot.is_some_and(|slot| {
            slot.remember(cx);
            slot.has_expired()
        });
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
        let mut state = self.0.state.borrow_mut();
        if let Some(follower) = state.followers_mut().follower_mut(key) {
            follower.deadlines().record_input();
        }
    }

    /// Sets the time within which a follower has to continue a message that it has begun to send.
    /// After that it is dropped.
    pub fn set_input_deadline(&self, key: ConnectionKey, within: Option<Duration>) {
        self.with_followers(key, |followers, context| {
            if let Some(follower) = followers.follower_mut(key) {
                follower.deadlines().limit_input(within, context.now);
            }
        });
    }

    fn expire(&self) {
        let now = self.now();
        loop {
            let mut state = self.0.state.borrow_mut();
            let Some(key) = state.followers_mut().take_due(now) else {
                return;
            };
            drop(state);
            self.with_state(|state, context| {
                state
                    .sender()
                    .run_isolated(context, key, |sender| sender.expire(context, key));
                state.followers_mut().arm(key, context.send_timeout);
            });
        }
    }
}
