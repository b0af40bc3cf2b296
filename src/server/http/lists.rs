//! Lists of channels: made beside the shards, and sent in parts, since whoever is served by the same shard would wait meanwhile.

use std::panic::resume_unwind;

use tokio::sync::Semaphore;
use tokio::task::{spawn_blocking, yield_now};

use super::access_log::Entry;
use super::connection::{MAX_UNWRITTEN_BYTES, Over, Requests, Served};
use super::sending::note;
use crate::server::compression::Compression;
use crate::server::config::web::Added;
use crate::server::faults;
use crate::server::response::{self, Body, Response, Status};
use crate::server::statistics::Listing;

/// The server makes one list at a time; others wait for it. So they take one processor, and the memory of one, at most.
static TURN: Semaphore = Semaphore::const_new(1);

impl Requests<'_> {
    /// Makes a list, with the header lines and the compression of its location.
    pub(super) async fn list(&mut self, listing: Listing, (added, compression): (&Added, Compression)) -> Response {
        let lines = added.of(Status::OK.0).to_vec();
        let _turn = TURN.acquire().await;
        let made = spawn_blocking(move || {
            faults::point("list");
            compression.apply(listing.response().with_headers(&lines), false)
        });
        match made.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(response) => response,
            // It costs this connection.
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(_)) => Response::error_page(Status::INTERNAL).closing(),
        }
    }

    /// Sends a list.
    pub(super) async fn send_list(
        &mut self,
        response: Response,
        connection: response::Connection,
        mut log: Option<Box<Entry>>,
    ) -> Result<Option<Served>, Over> {
        note(log.as_mut(), response.status.0, Some(response.body.len()));
        // The end may have begun while it was made.
        let connection = response::Connection { keep_alive: connection.keep_alive && self.connection.goes_on(), ..connection };
        let Body::Sized(body) = &response.body else {
            return if response.write(connection, &mut self.out) { Ok(None) } else { self.close().await };
        };
        let (keeps, _) = response.write_head(connection, &mut self.out);
        self.held = response.own_bytes();
        for part in body.chunks(MAX_UNWRITTEN_BYTES) {
            self.out.extend_from_slice(part);
            self.flush().await?;
            yield_now().await;
        }
        self.held = 0;
        if keeps { Ok(None) } else { self.close().await }
    }
}
