//! A shard: the connections and followers of one thread. No locks, nothing shared but the broker.
//!
//! Connections ask here for their deadlines and wait here for what concerns them; `round` moves the
//! messages.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::answers::{PendingReplies, PendingReply};
use super::deadlines::Pauses;
use super::follower::{Channels, Outcome, Subscription};
use super::format::Ending;
use super::outlet::Outlet;
use super::state::{ShardContext, Slot, State, Turn};
use super::timers::{Millis, NEVER};
use crate::server::broker::{AttachError, Broker, Inbox};

/// A connection of a shard.
pub type ConnectionKey = usize;

/// A handle to a shard; stays on its thread.
#[derive(Clone)]
pub struct Shard(pub(super) Rc<Inner>);

pub(super) struct Inner {
    index: usize,
    broker: Broker,
    pub(super) inbox: Arc<Inbox>,
    pub(super) send_timeout: Cell<Millis>,
    ping_timeout: Cell<Millis>,
    pub(super) started: Instant,
    pub(super) earlier_deadline: Notify,
    pub(super) pauses: Pauses,
    drained: Notify,
    pub(super) stopping: Cell<bool>,
    pub(super) state: RefCell<State>,
    pub(super) answers: PendingReplies,
}

/// What a connection that follows waits for.
#[derive(Debug)]
pub enum FollowerEvent {
    /// There is something to read, or the end.
    Readable,
    /// The socket takes bytes again.
    Writable,
    /// The subscription is over.
    Ended(Outcome),
}

impl Shard {
    /// The shard number `index` of `broker`; followers whose sockets take nothing for
    /// `send_timeout` are dropped, and those that do not answer a ping within `ping_timeout`,
    /// unless that is zero.
    #[must_use]
    pub fn new(index: usize, broker: Broker, timeouts: (Duration, Duration)) -> Self {
        let shard = Self(Rc::new(Inner {
            index,
            inbox: broker.inbox(index),
            broker,
            send_timeout: Cell::new(NEVER),
            ping_timeout: Cell::new(NEVER),
            started: Instant::now(),
            earlier_deadline: Notify::new(),
            pauses: Pauses::default(),
            drained: Notify::new(),
            stopping: Cell::new(false),
            state: RefCell::default(),
            answers: PendingReplies::default(),
        }));
        shard.set_timeouts(timeouts);
        shard
    }

    /// Sets the two times of [`Shard::new`]; what runs already keeps its time.
    pub fn set_timeouts(&self, (send_timeout, ping_timeout): (Duration, Duration)) {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(NEVER);
        self.0.send_timeout.set(millis(send_timeout));
        self.0.ping_timeout.set(if ping_timeout.is_zero() {
            NEVER
        } else {
            millis(ping_timeout)
        });
    }

    /// The broker behind the shard.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.0.broker
    }

    /// Delivers what is published until the future is dropped. To be run once.
    pub async fn deliver(&self) {
        loop {
            if self.deliver_turn() {
                poll_fn(|cx| self.poll_work(cx)).await;
            } else {
                // Lets others have the thread.
                tokio::task::yield_now().await;
                self.0.state.borrow_mut().turn = Turn::default();
            }
        }
    }

    /// Ready when there is something to deliver.
    fn poll_work(&self, cx: &Context<'_>) -> Poll<()> {
        let news = self.0.inbox.poll_news(cx);
        if self.0.state.borrow().rounds.is_empty() {
            news
        } else {
            Poll::Ready(())
        }
    }

    /// Writes the answers that wait and serves the rounds of one turn; true if there is nothing
    /// more to do.
    ///
    /// Waiting for news lets publishers in: what they publish meanwhile goes out in one write. A
    /// turn of its own would ask the system for events once more for each message.
    pub(super) fn deliver_turn(&self) -> bool {
        self.0.answers.write();
        self.serve_turn()
    }

    /// As [`Shard::deliver_turn`], where no answers wait.
    pub(super) fn serve_turn(&self) -> bool {
        self.with(|state, moment| {
            state.rounds.enter(&self.0.inbox);
            state.serve_rounds(moment);
            state.rounds.is_empty() && self.0.inbox.is_empty()
        })
    }

    /// Something was published that waits for the next turn, and no round is under way, which would
    /// take further turns.
    #[must_use]
    pub fn is_about_to_deliver(&self) -> bool {
        self.0.state.borrow().rounds.is_empty() && !self.0.inbox.is_empty()
    }

    /// Lets an answer be written with those of others when the next turn begins. Only while the
    /// shard [is about to deliver](Shard::is_about_to_deliver): otherwise there may be no turn for
    /// a while.
    pub fn answer(&self, outlet: &Rc<Outlet>, answer: &Rc<PendingReply>, bytes: Vec<u8>) {
        self.0.answers.push(outlet, answer, bytes);
    }

    /// Lets a round come to every channel that is followed here: after a panic nobody knows which
    /// ones had news.
    pub fn revisit_all(&self) {
        self.with(|state, moment| {
            for (_, local) in &state.channels {
                local.channel.clear_dirty(moment.shard);
                moment.broker.revisit(&local.channel, moment.shard);
            }
        });
    }

    /// Enters a connection.
    #[must_use]
    pub fn open(&self) -> ConnectionKey {
        self.0.state.borrow_mut().slots.insert(Slot::default())
    }

    /// Removes a connection and ends its subscription.
    pub fn close(&self, key: ConnectionKey) {
        self.with(|state, moment| {
            state.isolated(moment, key, |state| state.leave(moment, key));
            state.slots.try_remove(key);
        });
        if self.connections() == 0 {
            self.0.drained.notify_one();
        }
    }

    /// Turns a connection into a follower: subscribes it, writes the head and the backlog. Returns
    /// the channels that it follows: successors where a channel went away meanwhile.
    ///
    /// # Errors
    /// When a limit is reached; then there is no subscription at all and nothing was written.
    pub fn attach(
        &self,
        key: ConnectionKey,
        outlet: Rc<Outlet>,
        subscription: Subscription,
    ) -> Result<Channels, AttachError> {
        let share = self
            .broker()
            .subscription_share(subscription.channels.len(), subscription.format.own_bytes());
        let share = share.map_err(|error| AttachError::Create(error.into()))?;
        let channels = self.with(|state, moment| {
            let attached = state.attach(moment, key, outlet, subscription);
            if let Some(follower) = state.follower(key) {
                follower.share = Some(share);
            }
            state.arm(key, moment.send_timeout);
            attached
        })?;
        if self.0.stopping.get() {
            self.end(key, Ending::Shutdown);
        }
        Ok(channels)
    }

    /// Waits for what concerns a follower.
    pub fn poll_follower(&self, key: ConnectionKey, cx: &mut Context<'_>) -> Poll<FollowerEvent> {
        let mut state = self.0.state.borrow_mut();
        let slot = &mut state.slots[key];
        slot.remember(cx);
        let Some(follower) = &mut slot.follower else {
            return Poll::Ready(FollowerEvent::Ended(Outcome::Dropped));
        };
        if let Some(outcome) = follower.outcome {
            return Poll::Ready(FollowerEvent::Ended(outcome));
        }
        if follower.is_blocked() && follower.outlet.poll_write_ready(cx).is_ready() {
            return Poll::Ready(FollowerEvent::Writable);
        }
        if follower.outlet.poll_read_ready(cx).is_ready() {
            return Poll::Ready(FollowerEvent::Readable);
        }
        Poll::Pending
    }

    /// Goes on with a follower whose socket takes bytes again.
    pub fn resume(&self, key: ConnectionKey) {
        self.with(|state, moment| {
            state.resume(moment, key);
            state.arm(key, moment.send_timeout);
        });
    }

    /// Sends an answer to something that a follower sent.
    pub fn reply(&self, key: ConnectionKey, bytes: Vec<u8>) {
        self.with(|state, moment| {
            if let Some(follower) = state.follower(key).filter(|follower| !follower.ended) {
                follower.reply(bytes, moment.now);
            }
            state.after_write(moment, key);
            state.arm(key, moment.send_timeout);
        });
    }

    /// Ends a subscription from the server's side, with these last bytes.
    pub fn end_with(&self, key: ConnectionKey, bytes: Vec<u8>) {
        self.with(|state, moment| {
            state.end_with(moment, key, bytes);
            state.arm(key, moment.send_timeout);
        });
    }

    /// Ends a subscription with what its format sends for this reason, after what was published
    /// before: its round may still be under way.
    pub fn end(&self, key: ConnectionKey, ending: Ending) {
        self.with(|state, moment| {
            state.isolated(moment, key, |state| {
                state.resume(moment, key);
                state.end(moment, key, ending);
            });
            state.arm(key, moment.send_timeout);
        });
    }

    /// Ends what is left of a subscription; the connection serves requests again.
    pub fn release(&self, key: ConnectionKey) {
        self.with(|state, moment| state.leave(moment, key));
    }

    /// Ends all subscriptions, and all connections between two requests.
    pub fn stop(&self) {
        self.0.stopping.set(true);
        let keys: Vec<ConnectionKey> = self
            .0
            .state
            .borrow()
            .slots
            .iter()
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            self.end(key, Ending::Shutdown);
            self.0.state.borrow_mut().slots[key].wake();
        }
    }

    /// Lets every connection look at what concerns it beside its messages.
    pub fn wake_all(&self) {
        self.0
            .state
            .borrow()
            .slots
            .iter()
            .for_each(|(_, slot)| slot.wake());
    }

    /// Waits until there are no connections.
    pub async fn drained(&self) {
        while self.connections() > 0 {
            self.0.drained.notified().await;
        }
    }

    /// True once [`Shard::stop`] was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.get()
    }

    /// Number of connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.state.borrow().slots.len()
    }

    pub(super) fn now(&self) -> Millis {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(NEVER)
    }

    /// Works on the state; nothing in `work` may wait or call back into the shard.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State, ShardContext<'_>) -> T) -> T {
        let moment = ShardContext {
            broker: &self.0.broker,
            shard: self.0.index,
            now: self.now(),
            send_timeout: self.0.send_timeout.get(),
            ping_timeout: self.0.ping_timeout.get(),
        };
        let mut state = self.0.state.borrow_mut();
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut state, moment)));
        if result.is_err() {
            state.repair(moment);
        }
        self.report_deadline(&mut state);
        drop(state);
        // Whoever asked for the work ends with it.
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
