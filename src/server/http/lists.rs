//! Lists of channels, which may be long: a separate thread makes them, one at a time, so that no
//! shard is blocked.
//!
//! Requests for the same list that arrive before it is started share one response. Many clients
//! that request a list and disconnect, repeatedly, cost one list.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::server::broker::{Incident, Reservation};
use crate::server::exchange::compression::Compression;
use crate::server::exchange::response::{HeaderList, Response, Status, header_list};
use crate::server::observe::failpoints;
use crate::server::observe::limits_log::Limit;
use crate::server::observe::panics::LISTS_THREAD;
use crate::server::push_stream::statistics::Listing;

/// The queue of the process. In tests the lists of several servers differ in their brokers.
static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: VecDeque::new(),
    has_thread: false,
});

struct Queue {
    waiting: VecDeque<ListJob>,
    /// The thread that makes lists is running.
    has_thread: bool,
}

/// A list that was not started, and the clients that wait for it.
struct ListJob {
    key: ListKey,
    clients: Vec<oneshot::Sender<Arc<List>>>,
}

/// Everything that the response with a list depends on.
struct ListKey {
    listing: Listing,
    /// Additional headers of the location.
    added: HeaderList,
    compression: Compression,
}

impl ListKey {
    fn is_same(&self, other: &Self) -> bool {
        self.listing == other.listing
            && self.added == other.added
            && self.compression.is_same(&other.compression)
    }
}

/// A response with a list, shared by its clients. It counts once against the memory bound.
pub(in crate::server) struct List {
    response: Response,
    _memory: Reservation,
}

impl List {
    pub(super) fn response(&self) -> &Response {
        &self.response
    }
}

/// Waits for a list, with these additional headers, unless `max` others wait.
///
/// # Errors
/// The response that takes its place.
pub(super) async fn request(
    listing: Listing,
    added: HeaderList,
    compression: Compression,
    max: usize,
) -> Result<Arc<List>, Response> {
    let key = ListKey {
        listing,
        added,
        compression,
    };
    let Some(list) = enqueue(key, max) else {
        Limit::WaitingLists.log();
        return Err(
            Response::error_page(Status(503)).with_headers(&header_list!("Retry-After": "1"))
        );
    };
    // The sender is dropped if there is no memory for the list, or the thread has panicked.
    list.await
        .map_err(|_| Response::error_page(Status::INTERNAL).closing())
}

/// Queues a list, or joins a queued one; `None` if `max` others wait.
fn enqueue(key: ListKey, max: usize) -> Option<oneshot::Receiver<Arc<List>>> {
    let (client, list) = oneshot::channel();
    let mut queue = QUEUE.lock();
    let count = queue.waiting.len();
    match queue.waiting.iter_mut().find(|job| job.key.is_same(&key)) {
        Some(job) => job.clients.push(client),
        None if count >= max => return None,
        None => queue.waiting.push_back(ListJob {
            key,
            clients: vec![client],
        }),
    }
    if !queue.has_thread {
        match std::thread::Builder::new()
            .name(LISTS_THREAD.to_owned())
            .spawn(make_all)
        {
            Ok(_) => queue.has_thread = true,
            Err(error) => {
                tracing::error!(%error, "cannot start the thread for lists of channels");
                queue.waiting.clear();
            }
        }
    }
    Some(list)
}

/// Makes queued lists until there are none.
fn make_all() {
    loop {
        let mut queue = QUEUE.lock();
        let Some(job) = queue.waiting.pop_front() else {
            queue.has_thread = false;
            return;
        };
        drop(queue);
        job.make();
    }
}

impl ListJob {
    fn make(mut self) {
        // Clients may have disconnected.
        self.clients.retain(|client| !client.is_closed());
        if self.clients.is_empty() {
            return;
        }
        let Self {
            key:
                ListKey {
                    listing,
                    added,
                    compression,
                },
            clients,
        } = self;
        let make = || {
            failpoints::point("list");
            compression.apply(listing.response().with_headers(&added), false)
        };
        let Ok(response) = catch_unwind(AssertUnwindSafe(make)) else {
            return listing.broker().count(Incident::Panic);
        };
        let mut memory = listing.broker().memory().incoming_reservation();
        if memory.reserve(response.own_bytes()).is_err() {
            return listing.broker().count(Incident::NoMemoryForIncoming);
        }
        let list = Arc::new(List {
            response,
            _memory: memory,
        });
        clients
            .into_iter()
            .for_each(|client| drop(client.send(Arc::clone(&list))));
    }
}
