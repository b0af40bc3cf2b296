//! Lists of channels, which may be long: a thread makes them, one at a time, so that no shard
//! stands still meanwhile.
//!
//! Those who ask for the same list before it is begun get the same answer. So a crowd that asks
//! again and again, and leaves again and again, costs one list.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::connection::{Disconnected, Requests, Served};
use super::log_entry::Entry;
use crate::server::broker::{Incident, Reservation};
use crate::server::compression::Compression;
use crate::server::config::web::AddedHeaders;
use crate::server::failpoints;
use crate::server::limits_log::Limit;
use crate::server::panics::LISTS_THREAD;
use crate::server::response::{self, Response, Status};
use crate::server::statistics::Listing;

/// What waits in this process: lists of several servers, in tests, differ in their brokers.
static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: VecDeque::new(),
    has_maker: false,
});

struct Queue {
    waiting: VecDeque<Order>,
    /// A thread makes what waits.
    has_maker: bool,
}

/// A list that was not begun, and who asked for it.
struct Order {
    wanted: Wanted,
    clients: Vec<oneshot::Sender<Arc<List>>>,
}

/// All that an answer with a list depends on.
struct Wanted {
    listing: Listing,
    /// Header lines of its location.
    added: Vec<u8>,
    compression: Compression,
}

impl Wanted {
    fn is_same(&self, other: &Self) -> bool {
        self.listing == other.listing
            && self.added == other.added
            && self.compression.is_same(&other.compression)
    }
}

/// An answer with a list, for all who asked for it. It is counted as one, as something that is on
/// its way.
pub(super) struct List {
    response: Response,
    _memory: Reservation,
}

impl Requests<'_> {
    /// A list, or the answer instead.
    pub(super) async fn list(
        &mut self,
        listing: Listing,
        added: &AddedHeaders,
        compression: Compression,
    ) -> Result<Result<Arc<List>, Response>, Disconnected> {
        self.flush().await?;
        self.cover(0).map_err(|_| Disconnected)?;
        let most = self.connection.site.limits.max_waiting_lists;
        let wanted = Wanted {
            listing,
            added: added.for_status(Listing::STATUS.0).to_vec(),
            compression,
        };
        let Some(list) = order(wanted, most) else {
            Limit::WaitingLists.log();
            return Ok(Err(
                Response::error_page(Status(503)).with_headers(b"Retry-After: 1\r\n")
            ));
        };
        // It does not come if there is no room for it, or its maker has panicked.
        Ok(list
            .await
            .map_err(|_| Response::error_page(Status::INTERNAL).closing()))
    }

    /// Sends a list.
    pub(super) async fn send_list(
        &mut self,
        list: Arc<List>,
        connection: response::ResponseContext,
        log: Option<Box<Entry>>,
    ) -> Result<Option<Served>, Disconnected> {
        let connection = self.begin_answer(&list.response, connection, log);
        let goes_on = self.send_in_parts(&list.response, connection).await?;
        // Its connection may linger.
        drop(list);
        if goes_on {
            Ok(None)
        } else {
            self.close().await
        }
    }
}

/// Orders a list; `None` if `most` others wait.
fn order(wanted: Wanted, most: usize) -> Option<oneshot::Receiver<Arc<List>>> {
    let (client, list) = oneshot::channel();
    let mut queue = QUEUE.lock();
    let count = queue.waiting.len();
    match queue
        .waiting
        .iter_mut()
        .find(|order| order.wanted.is_same(&wanted))
    {
        Some(order) => order.clients.push(client),
        None if count >= most => return None,
        None => queue.waiting.push_back(Order {
            wanted,
            clients: vec![client],
        }),
    }
    if !queue.has_maker {
        match std::thread::Builder::new()
            .name(LISTS_THREAD.to_owned())
            .spawn(make_all)
        {
            Ok(_) => queue.has_maker = true,
            Err(error) => {
                tracing::error!(%error, "no list of channels can be made: the system gives no \
                                         thread for it");
                queue.waiting.clear();
            }
        }
    }
    Some(list)
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
        let Self {
            wanted:
                Wanted {
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
        let mut memory = listing.broker().incoming_reservation();
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
