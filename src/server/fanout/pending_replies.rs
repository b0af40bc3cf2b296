//! Responses to the publishers of one turn. They are written together, before the published
//! messages go to their followers.
//!
//! A client that waits for several responses and messages is then woken once for many of them
//! instead of once for each, and waking the peer is the most expensive part of a small message.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::outlet::Outlet;

/// The response of one publishing connection that is queued for the next turn. Reused for the next
/// response of the connection.
#[derive(Debug, Default)]
pub struct PendingReply {
    /// The response while it is queued; after that, the part that the socket did not accept.
    bytes: RefCell<Vec<u8>>,
    is_waiting: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl PendingReply {
    /// Ready when the response was written, with the bytes that the socket did not accept.
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
        // An error of the socket is reported again when the connection writes the rest.
        let written = outlet.try_write(&bytes).unwrap_or_default();
        bytes.drain(..written);
        self.is_waiting.set(false);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// Consecutive turns with a single response, always to the same publisher, after which the shard
/// expects no other publisher. With eight publishers one is rarely alone that often, and a wrong
/// guess only means that one message is written separately.
const MIN_SINGLE_TURNS: u8 = 4;

/// The queued responses of a shard, at most one for each connection.
#[derive(Default)]
pub(super) struct PendingReplies {
    waiting: RefCell<Vec<(Rc<Outlet>, Rc<PendingReply>)>>,
    /// Receiver of the only response of the last turn. Only compared, never dereferenced; a new
    /// connection at the same address may be taken for the old one, which is harmless.
    last_single: Cell<*const Outlet>,
    /// Consecutive turns with a single response to that receiver.
    single_turns: Cell<u8>,
}

impl PendingReplies {
    /// Queues a response for the next turn.
    pub(super) fn enqueue(&self, outlet: &Rc<Outlet>, reply: &Rc<PendingReply>, bytes: Vec<u8>) {
        reply.bytes.replace(bytes);
        reply.is_waiting.set(true);
        self.waiting
            .borrow_mut()
            .push((Rc::clone(outlet), Rc::clone(reply)));
    }

    /// Writes all queued responses.
    pub(super) fn flush(&self) {
        let mut waiting = self.waiting.borrow_mut();
        match &waiting[..] {
            [] => return,
            [(outlet, _)] if Rc::as_ptr(outlet) == self.last_single.get() => self
                .single_turns
                .set(self.single_turns.get().saturating_add(1)),
            [(outlet, _)] => {
                self.last_single.set(Rc::as_ptr(outlet));
                self.single_turns.set(1);
            }
            _ => self.single_turns.set(0),
        }
        waiting
            .drain(..)
            .for_each(|(outlet, reply)| reply.write_to(&outlet));
    }

    /// True if no response is queued and the publisher with this socket has been the only one for
    /// some turns.
    pub(super) fn expects_single(&self, outlet: &Rc<Outlet>) -> bool {
        self.single_turns.get() >= MIN_SINGLE_TURNS
            && self.last_single.get() == Rc::as_ptr(outlet)
            && self.waiting.borrow().is_empty()
    }
}
