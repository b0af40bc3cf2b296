//! What is done with a request beyond one answer in memory: files, and requests that are routed a second time.

use bytes::Bytes;
use futures_util::StreamExt;

use super::access_log::Entry;
use super::auth::Verdict;
use super::connection::{Connection, Over, Requests, Served};
use super::head::{self, BodyLength, Parsed};
use super::route::Router;
use crate::server::config::web::Added;
use crate::server::response::{self, Head, Response, Status};

/// What is known when a request is routed again.
#[derive(Default)]
pub(super) struct Again {
    /// What came of checking its password.
    pub(super) checked: Option<Verdict>,
    /// The path that it was led to.
    pub(super) redirected: Option<Vec<u8>>,
    /// A hook has agreed to it.
    pub(super) authorized: bool,
}

/// Notes the answer of a request for the log.
pub(super) fn note(log: Option<&mut Box<Entry>>, status: u16, body_bytes: Option<u64>) {
    if let Some(log) = log {
        (log.status, log.body_bytes) = (status, body_bytes);
    }
}

impl Requests<'_> {
    /// Routes a request again whose head was taken from the buffer already.
    pub(super) async fn route_again(&mut self, head: Bytes, length: BodyLength, again: Again) -> Result<Option<Served>, Over> {
        let Connection { site, shard, key, outlet, peer, .. } = &*self.connection;
        let (checked, redirected, authorized) = (again.checked, again.redirected.as_deref(), again.authorized);
        let router = Router { site, shard, key: *key, outlet, checked, redirected, authorized };
        let parsed = head::parse(&head, site.limits.max_header_bytes, peer, |request, _| match &again.redirected {
            Some(path) => router.route(&crate::server::request::Request { path: path.as_slice().into(), ..*request }, length),
            None => router.route(request, length),
        });
        let Parsed::Complete(_, _, mut routed) = parsed else { return Err(Over) };
        if again.redirected.is_some() && matches!(routed.next, super::route::Next::File(ref job) if job.is_index()) {
            // The index of an index: nginx gives up after ten.
            routed.next = super::route::Next::Respond(Response::error_page(Status::INTERNAL).closing());
        }
        let head = if routed.next.needs_head() { head } else { Bytes::new() };
        self.held = head.len();
        Box::pin(self.perform(routed, length, head)).await
    }

    /// Reads the body of a request that becomes a follower, then routes its head again, as one without a body.
    pub(super) async fn discard_and_route(
        &mut self,
        (head, length, again): (Bytes, BodyLength, Again),
        (max_body, expects): (u64, bool),
    ) -> Result<Option<Served>, Over> {
        if let Err(response) = self.read_body(length, max_body, expects).await? {
            // Nobody looks at it any more while the answer is on its way.
            drop(head);
            self.held = 0;
            response.write(response::Connection { minor_version: 1, keep_alive: false, is_head: false }, &mut self.out);
            self.flush().await?;
            self.linger().await;
            return Err(Over);
        }
        self.flush().await?;
        self.route_again(head, BodyLength::None, again).await
    }

    /// Sends a file piece by piece.
    pub(super) async fn stream(
        &mut self,
        response: Response,
        (length, body): (u64, axum::body::Body),
        connection: response::Connection,
        (added, mut log): (&Added, Option<Box<Entry>>),
    ) -> Result<Option<Served>, Over> {
        let status = response.status;
        let response = response.with_headers(added.of(status.0));
        let keep_alive = connection.keep_alive && !response.close;
        Head {
            status: response.status,
            content_type: response.content_type.as_deref(),
            content_length: Some(length),
            last_modified: response.last_modified.as_deref(),
            chunked: false,
            keep_alive,
            headers: &response.headers,
        }
        .write(&mut self.out);
        let mut left = if connection.is_head { 0 } else { length };
        note(log.as_mut(), response.status.0, Some(left));
        let mut pieces = body.into_data_stream();
        while left > 0 {
            // A file that became shorter cannot be completed: the client sees it by the length.
            let Some(Ok(piece)) = pieces.next().await else {
                self.flush().await?;
                return Err(Over);
            };
            let piece: Bytes = piece.slice(..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            left -= piece.len() as u64;
            self.out.extend_from_slice(&piece);
            self.flush().await?;
        }
        if keep_alive {
            return Ok(None);
        }
        self.flush().await?;
        self.linger().await;
        Err(Over)
    }
}
