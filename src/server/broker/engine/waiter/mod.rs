//! Waiters: one request that an engine has accepted, as seen by the task that waits for its
//! acknowledgement ([`Waiter`]) and by the engine ([`Completion`]).
//!
//! An engine completes requests in batches. The tasks are woken by the shards that they belong to:
//! the batch puts their wakers into the inboxes, so that each shard is woken once for all of them
//! ([`Acknowledgements`]).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::time::Sleep;

use super::pending::PendingRequest;
use crate::server::broker::{Inbox, PublishError};
use crate::server::observe::limits_log::Limit;

/// Waits for the acknowledgement of a request, for at most its time limit. Dropping it leaves the
/// request to the engine.
#[derive(Debug)]
pub struct Waiter<T> {
    slot: Arc<Mutex<Slot<T>>>,
    deadline: Instant,
    /// Set by the first poll that has to wait.
    time_limit: Option<Pin<Box<Sleep>>>,
}

/// Where the engine puts the result.
#[derive(Debug)]
enum Slot<T> {
    Waiting(Option<Waker>),
    Done(Result<T, PublishError>),
    /// The result was taken, or no task waits for it.
    Unused,
}

/// A request that the engine has accepted. It counts as pending until this is dropped; without a
/// result the request fails as unacknowledged.
#[derive(Debug)]
#[cfg_attr(
    not(debug_assertions),
    allow(dead_code, reason = "the memory engine has no pending requests")
)]
pub(super) struct Completion<T> {
    slot: Arc<Mutex<Slot<T>>>,
    /// The shard of the task that waits.
    shard: Option<usize>,
    _pending: PendingRequest,
}

/// The tasks whose requests a batch has completed.
#[derive(Debug, Default)]
#[cfg_attr(
    not(debug_assertions),
    allow(dead_code, reason = "the memory engine has no pending requests")
)]
pub(super) struct Acknowledgements(Vec<(Option<usize>, Waker)>);

#[cfg_attr(
    not(debug_assertions),
    allow(dead_code, reason = "the memory engine has no pending requests")
)]
impl<T> Completion<T> {
    /// Creates both sides of a request.
    pub(super) fn new(
        pending: PendingRequest,
        shard: Option<usize>,
        deadline: Instant,
    ) -> (Self, Waiter<T>) {
        let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
        let completion = Self {
            slot: Arc::clone(&slot),
            shard,
            _pending: pending,
        };
        let waiter = Waiter {
            slot,
            deadline,
            time_limit: None,
        };
        (completion, waiter)
    }

    /// Acknowledges the request; the task that waits is woken with the batch.
    pub(super) fn complete(self, result: Result<T, PublishError>, batch: &mut Acknowledgements) {
        if let Some(waker) = self.set(result) {
            batch.0.push((self.shard, waker));
        }
    }

    fn set(&self, result: Result<T, PublishError>) -> Option<Waker> {
        let mut slot = self.slot.lock();
        match &mut *slot {
            Slot::Waiting(waker) => {
                let waker = waker.take();
                *slot = Slot::Done(result);
                waker
            }
            Slot::Done(_) | Slot::Unused => None,
        }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        let mut slot = self.slot.lock();
        let waker = match &mut *slot {
            Slot::Waiting(waker) => waker.take(),
            Slot::Done(_) | Slot::Unused => return,
        };
        *slot = Slot::Done(Err(PublishError::Unacknowledged));
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg_attr(
    not(debug_assertions),
    allow(dead_code, reason = "the memory engine has no pending requests")
)]
impl Acknowledgements {
    /// Wakes the tasks: those of shards through the inbox of their shard.
    pub(super) fn flush(&mut self, inboxes: &[Arc<Inbox>]) {
        let mut wakers: Vec<Vec<Waker>> = inboxes.iter().map(|_| Vec::new()).collect();
        for (shard, waker) in self.0.drain(..) {
            match shard.and_then(|shard| wakers.get_mut(shard)) {
                Some(wakers) => wakers.push(waker),
                None => waker.wake(),
            }
        }
        for (inbox, wakers) in inboxes.iter().zip(wakers) {
            inbox.push_acknowledged(wakers);
        }
    }
}

impl<T> Future for Waiter<T> {
    type Output = Result<T, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(result) = self.slot.lock().poll(cx) {
            return Poll::Ready(result);
        }
        let deadline = self.deadline;
        let time_limit = self
            .time_limit
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        ready!(time_limit.as_mut().poll(cx));
        Limit::PublishTimeout.log();
        Poll::Ready(Err(PublishError::Unacknowledged))
    }
}

impl<T> Slot<T> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<T, PublishError>> {
        match std::mem::replace(self, Self::Unused) {
            Self::Done(result) => Poll::Ready(result),
            Self::Waiting(waker) => {
                let waker = waker.filter(|waker| waker.will_wake(cx.waker()));
                *self = Self::Waiting(waker.or_else(|| Some(cx.waker().clone())));
                Poll::Pending
            }
            // Only a second poll after the result could see this.
            Self::Unused => Poll::Ready(Err(PublishError::Unacknowledged)),
        }
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        *self.slot.lock() = Slot::Unused;
    }
}

#[cfg(all(test, debug_assertions))]
mod tests;
