//! Answers to publishers of the same turn, which are written together, before what they published
//! goes to its followers.
//!
//! Somebody who waits for several answers and messages is woken once for many of them then, and not
//! for each; and a wake-up is the dearest part of a small message.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::outlet::Outlet;

/// The answer of a connection that waits for others. It is used again for the next one.
#[derive(Debug, Default)]
pub struct PendingReply {
    /// While it waits: what is to be written; afterwards what the socket has not taken.
    bytes: RefCell<Vec<u8>>,
    is_waiting: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl PendingReply {
    /// Ready when it was written, with what the socket has not taken.
    pub fn poll_written(&self, cx: &Context<'_>) -> Poll<Vec<u8>> {
        if !self.is_waiting.get() {
            return Poll::Ready(self.bytes.take());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn write_to(&self, outlet: &Outlet) {
        let mut bytes = self.bytes.borrow_mut();
        // A broken socket shows again when the connection writes the rest.
        let written = outlet.try_write(&bytes).unwrap_or_default();
        bytes.drain(..written);
        self.is_waiting.set(false);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// So many turns in a row with no answer but one, to the same publisher, are enough to expect no
/// other ones. Of eight publishers one is rarely alone that often, and a wrong guess costs one
/// message the company of others.
const TURNS_ALONE: u8 = 4;

/// The answers of a shard that wait. A connection has one at most.
#[derive(Default)]
pub(super) struct PendingReplies {
    waiting: RefCell<Vec<(Rc<Outlet>, Rc<PendingReply>)>>,
    /// Whom the only answer of the last turn was for. An address only: where another connection has
    /// got it meanwhile, that is taken for the only one, which costs nothing.
    last_alone: Cell<*const Outlet>,
    /// Turns in a row that were like that.
    turns_alone: Cell<u8>,
}

impl PendingReplies {
    /// Lets an answer of these bytes wait.
    pub(super) fn push(&self, outlet: &Rc<Outlet>, answer: &Rc<PendingReply>, bytes: Vec<u8>) {
        answer.bytes.replace(bytes);
        answer.is_waiting.set(true);
        self.waiting
            .borrow_mut()
            .push((Rc::clone(outlet), Rc::clone(answer)));
    }

    /// Writes them all.
    pub(super) fn write(&self) {
        let mut waiting = self.waiting.borrow_mut();
        match &waiting[..] {
            [] => return,
            [(outlet, _)] if Rc::as_ptr(outlet) == self.last_alone.get() => self
                .turns_alone
                .set(self.turns_alone.get().saturating_add(1)),
            [(outlet, _)] => {
                self.last_alone.set(Rc::as_ptr(outlet));
                self.turns_alone.set(1);
            }
            _ => self.turns_alone.set(0),
        }
        waiting
            .drain(..)
            .for_each(|(outlet, answer)| answer.write_to(&outlet));
    }

    /// There are none, and the publisher with this socket has been the only one for some turns.
    pub(super) fn expects_only(&self, outlet: &Rc<Outlet>) -> bool {
        self.turns_alone.get() >= TURNS_ALONE
            && self.last_alone.get() == Rc::as_ptr(outlet)
            && self.waiting.borrow().is_empty()
    }
}
