//! Events between the subscription and whoever deals with them: a bounded read-ahead, so that
//! messages that came together are dealt with together.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::client::{Error, Event, Subscription};

/// Most events that wait.
pub(super) const MAX_EVENTS: usize = 4096;
/// Most KiB of text that wait; a larger message waits alone.
const MAX_KIB: u32 = 4096;

/// What the subscription had to say; nothing comes after an error or `None`.
pub(super) type Item = Result<Option<Event>, Error>;

/// The end at which events are taken.
pub(super) struct EventReceiver {
    items: mpsc::Receiver<Item>,
    room: Rc<Semaphore>,
    idle: Option<Duration>,
    /// When the last message was taken.
    last: Instant,
}

/// The end at which events are put.
pub(super) struct EventSender {
    items: mpsc::Sender<Item>,
    room: Rc<Semaphore>,
}

/// Both ends; taking gives up when no message comes for `idle`.
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
        // Nobody asks a server for more than is wanted: whoever takes sees what is there before the
        // next read.
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
    /// Nothing more is wanted.
    pub(super) fn close(&mut self) {
        self.items.close();
    }

    /// Takes what is there, up to `most` items, or waits for the next; nothing if no message came
    /// for too long.
    pub(super) async fn take(&mut self, most: usize) -> Vec<Item> {
        let mut items = Vec::new();
        match self.idle.and_then(|idle| self.last.checked_add(idle)) {
            // What is there already is taken at any rate.
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
