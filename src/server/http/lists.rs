//! Lists of channels, which may be long: a thread makes them, one at a time, so that no shard stands still meanwhile.
//!
//! Those who ask for the same list before it is begun get the same answer. So a crowd that asks again and again, and leaves again
//! and again, costs one list.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::connection::{Over, Requests};
use crate::server::broker::Incident;
use crate::server::compression::Compression;
use crate::server::config::web::Added;
use crate::server::faults;
use crate::server::panics::LISTS_THREAD;
use crate::server::response::{Response, Status};
use crate::server::statistics::Listing;

static QUEUE: Mutex<Queue> = Mutex::new(Queue { waiting: VecDeque::new(), has_maker: false });

struct Queue {
    waiting: VecDeque<Order>,
    /// A thread makes what waits.
    has_maker: bool,
}

/// A list that was not begun, and who asked for it.
struct Order {
    wanted: Wanted,
    clients: Vec<oneshot::Sender<Response>>,
}

/// All that an answer with a list depends on.
#[derive(PartialEq)]
struct Wanted {
    listing: Listing,
    /// Header lines of its location.
    added: Vec<u8>,
    compression: Compression,
}

impl Requests<'_> {
    /// The answer with a list.
    pub(super) async fn list(&mut self, listing: Listing, added: &Added, compression: Compression) -> Result<Response, Over> {
        let most = self.connection.site.limits.max_waiting_lists;
        let wanted = Wanted { listing, added: added.of(Listing::STATUS.0).to_vec(), compression };
        let Some(answer) = order(wanted, most) else {
            let busy = Response::error_page(Status(503)).with_headers(b"Retry-After: 1\r\n");
            return Ok(busy.with_headers(added.of(503)));
        };
        self.flush().await?;
        self.cover(0).map_err(|_| Over)?;
        // Without an answer its maker has panicked, or could not begin.
        Ok(answer.await.unwrap_or_else(|_| Response::error_page(Status::INTERNAL).closing()))
    }
}

/// Orders a list; `None` if `most` others wait.
fn order(wanted: Wanted, most: usize) -> Option<oneshot::Receiver<Response>> {
    let (client, answer) = oneshot::channel();
    let mut queue = QUEUE.lock();
    let count = queue.waiting.len();
    match queue.waiting.iter_mut().find(|order| order.wanted == wanted) {
        Some(order) => order.clients.push(client),
        None if count >= most => return None,
        None => queue.waiting.push_back(Order { wanted, clients: vec![client] }),
    }
    if !queue.has_maker {
        queue.has_maker = std::thread::Builder::new().name(LISTS_THREAD.to_owned()).spawn(make_all).is_ok();
        if !queue.has_maker {
            queue.waiting.clear();
        }
    }
    Some(answer)
}

/// Makes lists until none waits.
fn make_all() {
    loop {
        let mut queue = QUEUE.lock();
        let Some(order) = queue.waiting.pop_front() else {
            queue.has_maker = false;
            return;
        };
        drop(queue);
        order.make();
    }
}

impl Order {
    fn make(mut self) {
        // Their connections are over.
        self.clients.retain(|client| !client.is_closed());
        if self.clients.is_empty() {
            return;
        }
        let Self { wanted: Wanted { listing, added, compression }, clients } = self;
        let make = || {
            faults::point("list");
            compression.apply(listing.response().with_headers(&added), false)
        };
        let Ok(response) = catch_unwind(AssertUnwindSafe(make)) else {
            return listing.broker().count(Incident::Panic);
        };
        clients.into_iter().for_each(|client| drop(client.send(response.clone())));
    }
}
