//! Requests that are routed a second time: after a check, an internal redirect, or without the body
//! that a follower has no place for.

use bytes::Bytes;

use super::requests::{PendingBody, Requests, ServeOutcome};
use super::{Connection, Disconnected};
use crate::server::exchange::request::Request;
use crate::server::exchange::response;
use crate::server::exchange::response::{Response, Status};
use crate::server::http::h1::head;
use crate::server::http::h1::head::ParsedHead;
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::route::pending_check::{PendingCheck, RoutingState};
use crate::server::http::route::{NextStep, RoutedRequest, Router};

impl Requests<'_> {
    /// Runs a check, and routes the request again with the result; else returns the response to the
    /// rejected request.
    pub(in crate::server) async fn run_check(
        &mut self,
        check: PendingCheck,
        head: Bytes,
        length: BodyLength,
    ) -> Result<Result<Option<ServeOutcome>, Response>, Disconnected> {
        // Responses to earlier requests do not wait for the check.
        self.flush().await?;
        self.connection
            .reserve(head.len() + self.out.capacity())
            .map_err(|_| Disconnected)?;
        let snapshot = std::rc::Rc::clone(&self.connection.snapshot);
        match check.run(&snapshot.backend).await {
            Ok(state) => Box::pin(self.reroute(head, length, state)).await.map(Ok),
            Err(Some(response)) => Ok(Err(response)),
            Err(None) => self.close().await.map(Ok),
        }
    }

    /// Routes a request again whose head was removed from the buffer.
    pub(in crate::server) async fn reroute(
        &mut self,
        head: Bytes,
        length: BodyLength,
        state: RoutingState,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let mut routed = self.route_head(&head, length, &state)?;
        if state.redirected.is_some()
            && matches!(routed.next, NextStep::File(ref request) if request.is_directory())
        {
            // The index of an index: nginx gives up after ten.
            routed.next = NextStep::Respond(Response::error_page(Status::INTERNAL).closing());
        }
        let head = if routed.next.needs_head() {
            head
        } else {
            Bytes::new()
        };
        self.held = head.len();
        Box::pin(self.perform(routed, length, head)).await
    }

    /// Parses and routes a head with the results of earlier passes.
    fn route_head(
        &self,
        head: &[u8],
        length: BodyLength,
        state: &RoutingState,
    ) -> Result<RoutedRequest, Disconnected> {
        let Connection {
            snapshot,
            shard,
            key,
            outlet,
            peer,
            requests,
            ..
        } = &*self.connection;
        let router = Router {
            snapshot,
            shard,
            key: *key,
            outlet,
            requests: *requests,
            state,
            caches_polls: false,
        };
        let route = |request: &Request<'_>, _| match &state.redirected {
            Some(path) => router.route(
                &Request {
                    path: path.as_slice().into(),
                    ..*request
                },
                length,
            ),
            None => router.route(request, length),
        };
        match head::parse(head, snapshot.limits.max_header_bytes, peer, route) {
            ParsedHead::Complete(_, _, routed) => Ok(routed),
            ParsedHead::Incomplete | ParsedHead::Bad(_) => Err(Disconnected),
        }
    }

    /// Reads and discards the body of a subscriber's request, then routes its head again as one
    /// without a body.
    pub(in crate::server) async fn discard_and_reroute(
        &mut self,
        head: Bytes,
        body: PendingBody,
        state: RoutingState,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        if let Err(response) = self.read_body(body).await? {
            // Not held while the response is written.
            drop(head);
            self.held = 0;
            response.write(
                response::ResponseContext {
                    minor_version: 1,
                    keep_alive: false,
                    is_head: false,
                },
                &mut self.out,
            );
            return self.close().await;
        }
        self.flush().await?;
        self.reroute(head, BodyLength::None, state).await
    }
}
