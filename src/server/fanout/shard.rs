//! A shard: the connections and followers of one thread. No locks, nothing shared but the broker.
//!
//! Connections ask here for their deadlines and wait here for what concerns them; `round` moves the messages.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::sync::Notify;

use super::follower::{Follower, Membership, Outcome, Subscription};
use super::format::Ending;
use super::frames::Frames;
use super::outlet::Outlet;
use super::timers::{Millis, NEVER, Timers};
use crate::server::broker::{AttachError, Broker, Channel, Inbox};

/// A connection of a shard.
pub type ConnectionKey = usize;

/// A handle to a shard; stays on its thread.
#[derive(Clone)]
pub struct Shard(Rc<Inner>);

struct Inner {
    index: usize,
    broker: Broker,
    inbox: Arc<Inbox>,
    send_timeout: Millis,
    started: Instant,
    earlier_deadline: Notify,
    drained: Notify,
    stopping: Cell<bool>,
    state: RefCell<State>,
}

/// Connections, followers, and the channels that are followed here.
pub(super) struct State {
    pub(super) slots: Slab<Slot>,
    pub(super) channels: Slab<LocalChannel>,
    pub(super) by_number: HashMap<u64, u32>,
    pub(super) frames: Frames,
    timers: Timers,
}

/// A connection, between requests or following.
#[derive(Default)]
pub(super) struct Slot {
    waker: Option<Waker>,
    /// Of a connection between or in requests.
    deadline: Option<Millis>,
    expired: bool,
    pub(super) follower: Option<Follower>,
}

/// A channel with followers on this shard.
pub(super) struct LocalChannel {
    pub(super) channel: Arc<Channel>,
    pub(super) members: Vec<Member>,
}

/// A follower of a channel and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) slot: u32,
    /// Which of the follower's memberships this is.
    pub(super) nth: u32,
    /// It has had everything up to this id.
    pub(super) cursor: u64,
    /// Up to this id it is due stored messages only.
    pub(super) live_from: u64,
}

/// Why a connection that serves requests must not wait on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The deadline is over.
    Expired,
    /// The server ends.
    Stopping,
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

/// What the deliveries of one moment have in common.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) broker: &'a Broker,
    pub(super) shard: usize,
    pub(super) now: Millis,
    pub(super) second: u64,
    pub(super) send_timeout: Millis,
}

impl Shard {
    /// The shard number `index` of `broker`; followers whose sockets take nothing for `send_timeout` are dropped.
    #[must_use]
    pub fn new(index: usize, broker: Broker, send_timeout: Duration) -> Self {
        Self(Rc::new(Inner {
            index,
            inbox: broker.inbox(index),
            broker,
            send_timeout: u64::try_from(send_timeout.as_millis()).unwrap_or(NEVER),
            started: Instant::now(),
            earlier_deadline: Notify::new(),
            drained: Notify::new(),
            stopping: Cell::new(false),
            state: RefCell::new(State {
                slots: Slab::new(),
                channels: Slab::new(),
                by_number: HashMap::new(),
                frames: Frames::default(),
                timers: Timers::default(),
            }),
        }))
    }

    /// The broker behind the shard.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.0.broker
    }

    /// Delivers what is published until the future is dropped. To be run once.
    pub async fn deliver(&self) {
        let mut dirty = Vec::new();
        loop {
            self.0.inbox.news().await;
            loop {
                self.0.inbox.take(&mut dirty);
                if dirty.is_empty() {
                    break;
                }
                for channel in dirty.drain(..) {
                    self.round(&channel).await;
                }
                // Lets publishers in: what they publish meanwhile goes out in one write.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Keeps the deadlines until the future is dropped. To be run once.
    pub async fn keep_time(&self) {
        loop {
            let next = self.0.state.borrow().timers.next();
            let earlier = self.0.earlier_deadline.notified();
            match next {
                None => earlier.await,
                Some(due) => {
                    let due = self.0.started + Duration::from_millis(due);
                    tokio::select! {
                        () = tokio::time::sleep_until(due.into()) => self.expire(),
                        () = earlier => {}
                    }
                }
            }
        }
    }

    /// Enters a connection.
    #[must_use]
    pub fn open(&self) -> ConnectionKey {
        self.0.state.borrow_mut().slots.insert(Slot::default())
    }

    /// Removes a connection and ends its subscription.
    pub fn close(&self, key: ConnectionKey) {
        self.with(|state, moment| {
            state.leave(moment, key);
            state.slots.remove(key);
        });
        if self.connections() == 0 {
            self.0.drained.notify_one();
        }
    }

    /// Sets the time after which a connection that serves requests is woken with [`Interruption::Expired`].
    pub fn set_deadline(&self, key: ConnectionKey, after: Option<Duration>) {
        let due = after.map(|after| self.now().saturating_add(u64::try_from(after.as_millis()).unwrap_or(NEVER)));
        let mut state = self.0.state.borrow_mut();
        let slot = &mut state.slots[key];
        slot.deadline = due;
        slot.expired = false;
        if state.timers.arm(key, due.unwrap_or(NEVER)) {
            self.0.earlier_deadline.notify_one();
        }
    }

    /// What keeps a connection from waiting on: its deadline, or, between two requests (`idle`), the end of the server.
    /// If there is nothing, the connection is woken when there is.
    #[must_use]
    pub fn interruption(&self, key: ConnectionKey, idle: bool, cx: &Context<'_>) -> Option<Interruption> {
        let mut state = self.0.state.borrow_mut();
        let slot = &mut state.slots[key];
        slot.remember(cx);
        if slot.expired {
            return Some(Interruption::Expired);
        }
        (idle && self.0.stopping.get()).then_some(Interruption::Stopping)
    }

    /// Turns a connection into a follower: subscribes it, writes the head and the backlog.
    ///
    /// # Errors
    /// When a limit is reached; then there is no subscription at all and nothing was written.
    pub fn attach(&self, key: ConnectionKey, outlet: Rc<Outlet>, subscription: Subscription) -> Result<(), AttachError> {
        self.with(|state, moment| state.attach(moment, key, outlet, subscription))?;
        if self.0.stopping.get() {
            self.end(key, Ending::Shutdown);
        }
        self.arm(key);
        Ok(())
    }

    /// Waits for what concerns a follower. With `reading` off, what the client sends is left in the socket.
    pub fn poll_follower(&self, key: ConnectionKey, reading: bool, cx: &mut Context<'_>) -> Poll<FollowerEvent> {
        let mut state = self.0.state.borrow_mut();
        let slot = &mut state.slots[key];
        slot.remember(cx);
        let Some(follower) = &mut slot.follower else { return Poll::Ready(FollowerEvent::Ended(Outcome::Dropped)) };
        if let Some(outcome) = follower.outcome {
            return Poll::Ready(FollowerEvent::Ended(outcome));
        }
        if follower.is_blocked() && follower.outlet.poll_write_ready(cx).is_ready() {
            return Poll::Ready(FollowerEvent::Writable);
        }
        if reading && follower.outlet.poll_read_ready(cx).is_ready() {
            return Poll::Ready(FollowerEvent::Readable);
        }
        Poll::Pending
    }

    /// Goes on with a follower whose socket takes bytes again.
    pub fn resume(&self, key: ConnectionKey) {
        self.with(|state, moment| state.resume(moment, key));
        self.arm(key);
    }

    /// Sends an answer to something that a follower sent.
    pub fn reply(&self, key: ConnectionKey, bytes: Vec<u8>) {
        self.with(|state, moment| {
            if let Some(follower) = state.follower(key).filter(|follower| !follower.ended) {
                follower.reply(bytes, moment.now);
            }
        });
        self.arm(key);
    }

    /// Ends a subscription from the server's side, with these last bytes.
    pub fn end_with(&self, key: ConnectionKey, bytes: Vec<u8>) {
        self.with(|state, moment| state.end_with(moment, key, bytes));
        self.arm(key);
    }

    /// Ends a subscription with what its format sends for this reason.
    pub fn end(&self, key: ConnectionKey, ending: Ending) {
        self.with(|state, moment| state.end(moment, key, ending));
        self.arm(key);
    }

    /// Ends what is left of a subscription; the connection serves requests again.
    pub fn release(&self, key: ConnectionKey) {
        self.with(|state, moment| state.leave(moment, key));
    }

    /// Ends all subscriptions, and all connections between two requests.
    pub fn stop(&self) {
        self.0.stopping.set(true);
        let keys: Vec<ConnectionKey> = self.0.state.borrow().slots.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.end(key, Ending::Shutdown);
            self.0.state.borrow_mut().slots[key].wake();
        }
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

    fn now(&self) -> Millis {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(NEVER)
    }

    pub(super) fn index(&self) -> usize {
        self.0.index
    }

    /// Works on the state; nothing in `work` may wait or call back into the shard.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State, Moment<'_>) -> T) -> T {
        let moment = Moment {
            broker: &self.0.broker,
            shard: self.0.index,
            now: self.now(),
            second: crate::message::unix_now(),
            send_timeout: self.0.send_timeout,
        };
        work(&mut self.0.state.borrow_mut(), moment)
    }

    fn arm(&self, key: ConnectionKey) {
        if self.0.state.borrow_mut().arm(key, self.0.send_timeout) {
            self.0.earlier_deadline.notify_one();
        }
    }

    /// To be called when a round blocked followers: their send time-outs may be the next deadline.
    pub(super) fn deadlines_changed(&self) {
        self.0.earlier_deadline.notify_one();
    }

    fn expire(&self) {
        let now = self.now();
        loop {
            let Some(key) = self.0.state.borrow_mut().timers.pop(now) else { return };
            self.with(|state, moment| state.expire(moment, key));
            self.0.state.borrow_mut().arm(key, self.0.send_timeout);
        }
    }
}

impl Slot {
    fn remember(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl State {
    pub(super) fn follower(&mut self, key: ConnectionKey) -> Option<&mut Follower> {
        self.slots.get_mut(key)?.follower.as_mut()
    }

    /// Enters the connection's next deadline; true if it is the earliest of all.
    pub(super) fn arm(&mut self, key: ConnectionKey, send_timeout: Millis) -> bool {
        let Some(slot) = self.slots.get(key) else { return false };
        let due = match &slot.follower {
            Some(follower) if follower.outcome.is_none() => follower.due(send_timeout),
            Some(_) => NEVER,
            None => slot.deadline.filter(|_| !slot.expired).unwrap_or(NEVER),
        };
        self.timers.arm(key, due)
    }

    fn attach(
        &mut self,
        moment: Moment<'_>,
        key: ConnectionKey,
        outlet: Rc<Outlet>,
        mut subscription: Subscription,
    ) -> Result<(), AttachError> {
        let mut follower = Follower::new(outlet, &subscription, moment.now);
        let mut places = Vec::with_capacity(subscription.channels.len());
        for wanted in &mut subscription.channels {
            match moment.broker.attach(&mut wanted.channel, moment.shard, wanted.backtrack, &subscription.cursor) {
                Ok(attachment) => places.push((Arc::clone(&wanted.channel), attachment)),
                Err(error) => {
                    places.iter().for_each(|(channel, _)| moment.broker.detach(channel, moment.shard));
                    return Err(error);
                }
            }
        }
        for (nth, (channel, attachment)) in places.into_iter().enumerate() {
            let local = self.local_channel(channel);
            let members = &mut self.channels[local as usize].members;
            follower.memberships.push(Membership { channel: local, place: members.len() as u32 });
            members.push(Member { slot: key as u32, nth: nth as u32, cursor: attachment.from, live_from: attachment.live_from });
        }
        moment.broker.count_subscriber(moment.shard, true);
        if !subscription.head.is_empty() {
            follower.write(&Rc::new(std::mem::take(&mut subscription.head)), moment.now);
        }
        self.slots[key].follower = Some(follower);
        self.begin(moment, key, subscription.merges_backlog);
        Ok(())
    }

    fn local_channel(&mut self, channel: Arc<Channel>) -> u32 {
        let number = channel.number();
        if let Some(local) = self.by_number.get(&number) {
            return *local;
        }
        let local = self.channels.insert(LocalChannel { channel, members: Vec::new() }) as u32;
        self.by_number.insert(number, local);
        local
    }

    /// Takes a follower off all its channels; it gets nothing more.
    pub(super) fn detach(&mut self, moment: Moment<'_>, key: ConnectionKey) {
        let Some(follower) = self.follower(key) else { return };
        let memberships = std::mem::take(&mut follower.memberships);
        if !memberships.is_empty() {
            moment.broker.count_subscriber(moment.shard, false);
        }
        // Places move while members are removed, so each one is looked up when its turn comes.
        let mut memberships = memberships;
        for nth in 0..memberships.len() {
            if let Some((moved, place)) = self.remove_member(moment, memberships[nth]) {
                if moved.slot as usize == key {
                    memberships[moved.nth as usize].place = place;
                } else {
                    self.move_member(moved, place);
                }
            }
        }
    }

    /// Takes a follower off one of its channels, of several.
    pub(super) fn detach_one(&mut self, moment: Moment<'_>, key: ConnectionKey, nth: usize) {
        let Some(follower) = self.follower(key) else { return };
        let membership = follower.memberships.swap_remove(nth);
        if let Some(renumbered) = follower.memberships.get(nth).copied() {
            self.channels[renumbered.channel as usize].members[renumbered.place as usize].nth = nth as u32;
        }
        if let Some((moved, place)) = self.remove_member(moment, membership) {
            self.move_member(moved, place);
        }
    }

    fn move_member(&mut self, moved: Member, place: u32) {
        if let Some(follower) = self.follower(moved.slot as usize) {
            follower.memberships[moved.nth as usize].place = place;
        }
    }

    /// Removes a member of a channel; returns the member that took its place.
    fn remove_member(&mut self, moment: Moment<'_>, membership: Membership) -> Option<(Member, u32)> {
        let local = &mut self.channels[membership.channel as usize];
        let member = local.members.swap_remove(membership.place as usize);
        let moved = local.members.get(membership.place as usize).copied();
        let channel = Arc::clone(&local.channel);
        moment.broker.detach(&channel, moment.shard);
        if local.members.is_empty() {
            self.by_number.remove(&channel.number());
            self.channels.remove(membership.channel as usize);
        } else if member.cursor < channel.last_id() {
            // What was kept for this follower alone can be let go.
            moment.broker.revisit(&channel, moment.shard);
        }
        moved.map(|moved| (moved, membership.place))
    }

    /// Removes all of a subscription.
    fn leave(&mut self, moment: Moment<'_>, key: ConnectionKey) {
        self.detach(moment, key);
        let slot = &mut self.slots[key];
        slot.follower = None;
        slot.deadline = None;
        slot.expired = false;
    }

    /// What is due: a connection's deadline, a follower's end, ping or time-out.
    fn expire(&mut self, moment: Moment<'_>, key: ConnectionKey) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let Some(follower) = &mut slot.follower else {
            if slot.deadline.is_some_and(|deadline| deadline <= moment.now) {
                slot.expired = true;
                slot.wake();
            }
            return;
        };
        if follower.outcome.is_some() || follower.due(moment.send_timeout) > moment.now {
            return;
        }
        if follower.is_blocked() {
            self.drop_slow(moment, key, 0);
        } else if follower.ttl_at <= moment.now {
            self.end(moment, key, Ending::TimeToLive);
        } else {
            let mut ping = Vec::new();
            follower.format.ping(&mut ping);
            follower.write(&Rc::new(ping), moment.now);
            self.after_write(moment, key);
        }
    }
}
