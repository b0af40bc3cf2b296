//! A shard: the connections and followers of one thread. It has no locks and shares only the broker
//! with other threads.
//!
//! Connections set their deadlines and wait for events here; [`ShardState`] delivers the messages.

mod deadlines;
mod inline_delivery;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub use deadlines::Interruption;
pub use inline_delivery::InlineDelivery;

use super::body_outlet::SocketReadiness;
use super::context::ShardContext;
use super::end_reason::EndReason;
use super::follower::Follower;
use super::followers::Followers;
use super::frame::PayloadFrame;
use super::outlet::Outlet;
use super::pauses::Pauses;
use super::pending_replies::{PendingReplies, PendingReply};
use super::state::ShardState;
use super::subscription::{Channels, Subscription, SubscriptionOutcome};
use super::table::ConnectionKey;
use super::timers::{Millis, NEVER, millis};
use crate::server::broker::{AttachError, Broker, Inbox};
use crate::server::exchange::response::ResponseWriter;

/// A handle to a shard. Does not leave its thread.
#[derive(Clone)]
pub struct Shard(Rc<ShardCore>);

/// What the handles of a shard share.
struct ShardCore {
    index: usize,
    broker: Broker,
    inbox: Arc<Inbox>,
    send_timeout: Cell<Millis>,
    ping_timeout: Cell<Millis>,
    started: Instant,
    earlier_deadline: Notify,
    pauses: Pauses,
    drained: Notify,
    is_stopping: Cell<bool>,
    state: RefCell<ShardState>,
    replies: PendingReplies,
}

/// Time-outs of followers.
#[derive(Clone, Copy, Debug)]
pub struct FollowerTimeouts {
    /// A follower whose socket accepts no data for this long is dropped.
    pub send: Duration,
    /// A follower that does not answer a ping within this time is dropped; zero = unlimited.
    pub ping: Duration,
}

/// Event of a follower that its connection handles.
#[derive(Debug)]
pub enum FollowerEvent {
    /// There is input, or the end.
    Readable,
    /// The socket accepts data again.
    Writable,
    /// The subscription has ended.
    Ended(SubscriptionOutcome),
}

impl Shard {
    /// Creates the shard `index` of `broker`.
    #[must_use]
    pub fn new(index: usize, broker: Broker, timeouts: FollowerTimeouts) -> Self {
        let shard = Self(Rc::new(ShardCore {
            index,
            inbox: broker.inbox(index),
            broker: broker.at_shard(index),
            send_timeout: Cell::new(NEVER),
            ping_timeout: Cell::new(NEVER),
            started: Instant::now(),
            earlier_deadline: Notify::new(),
            pauses: Pauses::default(),
            drained: Notify::new(),
            is_stopping: Cell::new(false),
            state: RefCell::default(),
            replies: PendingReplies::default(),
        }));
        shard.set_timeouts(timeouts);
        shard
    }

    /// Changes the time-outs. A running ping time-out keeps its deadline.
    pub fn set_timeouts(&self, timeouts: FollowerTimeouts) {
        self.0.send_timeout.set(millis(timeouts.send));
        self.0.ping_timeout.set(if timeouts.ping.is_zero() {
            NEVER
        } else {
            millis(timeouts.ping)
        });
    }

    /// The broker that the shard delivers from.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.0.broker
    }

    /// Delivers published messages until the future is dropped. To be run once per shard.
    pub async fn run_deliveries(&self) {
        loop {
            if self.deliver_turn() {
                poll_fn(|cx| self.poll_work(cx)).await;
            } else {
                // Lets other tasks have the thread.
                tokio::task::yield_now().await;
                self.0.state.borrow_mut().sender().begin_turn();
            }
        }
    }

    /// Ready when there are rounds to run.
    fn poll_work(&self, cx: &Context<'_>) -> Poll<()> {
        let inbox = self.0.inbox.poll_ready(cx);
        if self.0.state.borrow().is_idle() {
            inbox
        } else {
            Poll::Ready(())
        }
    }

    /// Writes the queued replies and runs the rounds of one turn. Returns true if nothing is left
    /// to do.
    ///
    /// The delivery task sleeps until it is notified, which lets publishers run first: all that
    /// they publish in that time is delivered in one write. A separate turn for each message would
    /// poll the system for events one more time for each.
    pub(super) fn deliver_turn(&self) -> bool {
        self.0.replies.flush();
        self.serve_turn()
    }

    /// Runs the rounds of one turn, without queued replies. Returns true if nothing is left to do.
    fn serve_turn(&self) -> bool {
        self.with_state(|state, context| state.run_turn(context, &self.0.inbox))
    }

    /// True if published messages wait for the next turn and no round is in progress that would
    /// take several turns.
    #[must_use]
    pub fn has_pending_delivery(&self) -> bool {
        self.0.state.borrow().is_idle() && !self.0.inbox.is_empty()
    }

    /// Queues a response, to be written with others when the next turn begins. Only valid while
    /// there is a [pending delivery](Shard::has_pending_delivery); otherwise there may be no turn
    /// for a while.
    pub fn queue_reply(&self, outlet: &Rc<Outlet>, reply: &Rc<PendingReply>, bytes: Vec<u8>) {
        self.0.replies.enqueue(outlet, reply, bytes);
    }

    /// Schedules a round of every channel with followers here: after a panic it is unknown which
    /// ones had new messages.
    pub fn schedule_all_rounds(&self) {
        self.with_state(|state, context| {
            for channel in state.followers().table().channels() {
                channel.clear_dirty(context.shard);
                context.broker.schedule_round(channel, context.shard);
            }
        });
    }

    /// Adds a connection.
    #[must_use]
    pub fn open(&self) -> ConnectionKey {
        self.0.state.borrow_mut().followers_mut().table_mut().open()
    }

    /// Removes a connection and ends its subscription.
    pub fn close(&self, key: ConnectionKey) {
        self.with_state(|state, context| {
            state.sender().run_isolated(context, key, |sender| {
                sender.followers_mut().unsubscribe(context, key);
            });
            state.followers_mut().table_mut().close(key);
        });
        if self.connections() == 0 {
            self.0.drained.notify_one();
        }
    }

    /// Turns a connection into a follower: subscribes it, has `writer` write the head, and writes
    /// the backlog.
    /// Returns the channels that it follows; deleted ones are replaced by their successors.
    ///
    /// # Errors
    /// When a limit is reached. The connection then has no subscription and nothing was written.
    pub fn attach(
        &self,
        key: ConnectionKey,
        outlet: Rc<Outlet>,
        subscription: Subscription,
        writer: &dyn ResponseWriter,
    ) -> Result<Channels, AttachError> {
        let charge = self.broker().memory().charge_subscription(
            subscription.channels.len(),
            subscription.format.policy.own_bytes,
        );
        let charge = charge.map_err(|error| AttachError::Create(error.into()))?;
        let channels = self.with_state(|state, context| {
            let attached = state.attach(context, key, outlet, subscription, writer);
            let followers = state.followers_mut();
            if let Some(follower) = followers.follower_mut(key) {
                follower.hold_charge(charge);
            }
            followers.arm(key, context.send_timeout);
            attached
        })?;
        if self.0.is_stopping.get() {
            self.end(key, EndReason::Shutdown);
        }
        Ok(channels)
    }

    /// Waits for the next event of a follower.
    pub fn poll_follower(&self, key: ConnectionKey, cx: &mut Context<'_>) -> Poll<FollowerEvent> {
        let mut state = self.0.state.borrow_mut();
        let slot = state.followers_mut().table_mut().slot_mut(key);
        let follower = slot.and_then(|slot| {
            slot.remember(cx);
            slot.follower()
        });
        let Some(body) = follower.map(Follower::body) else {
            return Poll::Ready(FollowerEvent::Ended(SubscriptionOutcome::Dropped));
        };
        if let Some(outcome) = body.outcome() {
            return Poll::Ready(FollowerEvent::Ended(outcome));
        }
        body.poll_socket(cx).map(|ready| match ready {
            SocketReadiness::Readable => FollowerEvent::Readable,
            SocketReadiness::Writable => FollowerEvent::Writable,
        })
    }

    /// Continues a follower whose socket accepts data again.
    pub fn resume(&self, key: ConnectionKey) {
        self.with_state(|state, context| {
            state.sender().resume(context, key);
            state.followers_mut().arm(key, context.send_timeout);
        });
    }

    /// Sends the reply to a message of the client, such as a ping.
    pub fn reply(&self, key: ConnectionKey, bytes: Vec<u8>) {
        self.with_followers(key, |followers, context| {
            let follower = followers.follower_mut(key);
            if let Some(follower) = follower.filter(|follower| !follower.body().has_ended()) {
                follower.reply(bytes, context.now);
            }
            followers.after_write(context, key);
        });
    }

    /// Ends a subscription with these last bytes.
    pub fn end_with(&self, key: ConnectionKey, bytes: Vec<u8>) {
        self.with_followers(key, |followers, context| {
            followers.end_with(context, key, &Rc::new(PayloadFrame::unframed(bytes)));
        });
    }

    /// Ends a subscription with the bytes that its format sends for this reason. Messages published
    /// before are sent first; their round may still be in progress.
    pub fn end(&self, key: ConnectionKey, ending: EndReason) {
        self.with_state(|state, context| {
            state.sender().run_isolated(context, key, |sender| {
                sender.resume(context, key);
                sender.followers_mut().end(context, key, ending);
            });
            state.followers_mut().arm(key, context.send_timeout);
        });
    }

    /// Removes an ended subscription; the connection can serve requests again.
    pub fn release(&self, key: ConnectionKey) {
        self.with_state(|state, context| state.followers_mut().unsubscribe(context, key));
    }

    /// Shuts down: ends all subscriptions and all idle connections.
    pub fn stop(&self) {
        self.0.is_stopping.set(true);
        let state = self.0.state.borrow();
        let slots = state.followers().table().slots();
        let keys: Vec<ConnectionKey> = slots.map(|(key, _)| key).collect();
        drop(state);
        for key in keys {
            self.end(key, EndReason::Shutdown);
            if let Some(slot) = self.0.state.borrow().followers().table().slot(key) {
                slot.wake();
            }
        }
    }

    /// Wakes every connection, for events other than messages.
    pub fn wake_all(&self) {
        let state = self.0.state.borrow();
        let slots = state.followers().table().slots();
        slots.for_each(|(_, slot)| slot.wake());
    }

    /// Waits until there are no connections.
    pub async fn drained(&self) {
        while self.connections() > 0 {
            self.0.drained.notified().await;
        }
    }

    /// True after [`Shard::stop`].
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping.get()
    }

    /// Number of connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.state.borrow().followers().table().len()
    }

    fn now(&self) -> Millis {
        millis(self.0.started.elapsed())
    }

    /// Notifies the timer task if the earliest deadline has moved forward.
    fn report_deadline(&self, followers: &mut Followers) {
        if followers.take_moved_deadline() {
            self.0.earlier_deadline.notify_one();
        }
    }

    /// Runs `work` on the followers, as [`Shard::with_state`] does, and sets the timer of a
    /// connection.
    fn with_followers(
        &self,
        key: ConnectionKey,
        work: impl FnOnce(&mut Followers, ShardContext<'_>),
    ) {
        self.with_state(|state, context| {
            let followers = state.followers_mut();
            work(followers, context);
            followers.arm(key, context.send_timeout);
        });
    }

    /// Runs `work` on the state, which must neither wait nor call the shard. After a panic the
    /// state is repaired before the panic continues.
    pub(super) fn with_state<T>(
        &self,
        work: impl FnOnce(&mut ShardState, ShardContext<'_>) -> T,
    ) -> T {
        let context = ShardContext {
            broker: &self.0.broker,
            shard: self.0.index,
            now: self.now(),
            send_timeout: self.0.send_timeout.get(),
            ping_timeout: self.0.ping_timeout.get(),
        };
        let mut state = self.0.state.borrow_mut();
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut state, context)));
        if result.is_err() {
            state.followers_mut().table_mut().repair(context);
        }
        self.report_deadline(state.followers_mut());
        drop(state);
        // The panic belongs to the connection that asked for the work.
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
