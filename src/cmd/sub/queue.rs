//! Queue of events between the subscription and the printer or runner: a bounded read-ahead, so
//! that messages that arrive together are handled together.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::client::{Error, Event, Subscription};

/// Maximum number of queued events.
pub(super) const MAX_EVENTS: usize = 4096;
/// Maximum size of queued texts in KiB; a larger message is queued alone.
const MAX_KIB: u32 = 4096;

/// An event, or the end of the subscription: an error or `None` is the last item.
pub(super) type Item = Result<Option<Event>, Error>;

/// Receiver of the queue.
pub(super) struct EventReceiver {
    items: mpsc::Receiver<Item>,
    room: Rc<Semaphore>,
    idle: Option<Duration>,
    /// Time at which the last message was received.
    last: Instant,
}

/// Sender of the queue.
pub(super) struct EventSender {
    items: mpsc::Sender<Item>,
    room: Rc<Semaphore>,
}

/// Creates a queue. The receiver gives up when no message arrives for `idle`.
pub(super) fn queue(idle: Option<Duration>) -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::channel(MAX_EVENTS);
    let room = Rc::new(Semaphore::new(MAX_KIB as usize));
    (
        EventSender {
            items: sender,
            room: Rc::clone(&room),
        },
        EventReceiver {
            items: receiver,
            room,
            idle,
            last: Instant::now(),
        },
    )
}

impl EventSender {
    /// Reads the subscription to its end.
    pub(super) async fn read(self, mut subscription: Subscription) {
        // Yields before the next read, so that the receiver can close the queue first: nothing is
        // requested from the server that is not used.
        while !self.items.is_closed() {
            let item = subscription.next().await;
            let is_last = !matches!(item, Ok(Some(_)));
            if let Ok(permit) = self.room.acquire_many(weight(&item)).await {
                permit.forget();
            }
            if self.items.send(item).await.is_err() || is_last {
                return;
            }
            if !subscription.has_ready() {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl EventReceiver {
    /// Closes the queue.
    pub(super) fn close(&mut self) {
        self.items.close();
    }

    /// Receives up to `most` items, and waits for the first; empty after the idle time.
    pub(super) async fn take(&mut self, most: usize) -> Vec<Item> {
        let mut items = Vec::new();
        match self.idle.and_then(|idle| self.last.checked_add(idle)) {
            // Items that are queued already are received even after the deadline.
            Some(deadline) => {
                drop(timeout_at(deadline, self.items.recv_many(&mut items, most)).await)
            }
            None => drop(self.items.recv_many(&mut items, most).await),
        }
        self.room
            .add_permits(items.iter().map(|item| weight(item) as usize).sum());
        if items
            .iter()
            .any(|item| matches!(item, Ok(Some(Event::Message(..)))))
        {
            self.last = Instant::now();
        }
        items
    }
}

fn weight(item: &Item) -> u32 {
    let bytes = match item {
        Ok(Some(Event::Message(message, _))) => message.text.len(),
        _ => 0,
    };
    u32::try_from(bytes / 1024)
        .unwrap_or(u32::MAX)
        .saturating_add(1)
        .min(MAX_KIB)
}
