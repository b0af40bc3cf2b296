//! A request that must wait before it can be routed: for a check, its body, a file or a back-end.
//!
//! It keeps the configuration that its head was read with.

use bytes::Bytes;

use super::Disconnected;
use super::requests::{Requests, ServeOutcome};
use crate::server::config::expression::regex_pattern;
use crate::server::exchange::owned_request::OwnedRequest;
use crate::server::exchange::response::Response;
use crate::server::http::listen::listener_snapshot::ListenerSnapshot;
use crate::server::http::route::{Located, PendingBody, RoutedRequest, Waiting};

impl Requests<'_> {
    /// Routes and serves a request.
    pub(super) async fn serve_waiting<'s>(
        &mut self,
        request: Box<OwnedRequest>,
        located: Located<'s>,
        snapshot: &'s ListenerSnapshot,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        self.held = request.own_bytes();
        // Other requests are routed while it waits.
        let routing = self.route_waiting(&request, located, snapshot);
        let routed = regex_pattern::isolated_async(routing).await?;
        drop(request);
        self.held = 0;
        Box::pin(self.perform(routed)).await
    }

    async fn route_waiting<'s>(
        &mut self,
        request: &OwnedRequest,
        mut located: Located<'s>,
        snapshot: &'s ListenerSnapshot,
    ) -> Result<RoutedRequest, Disconnected> {
        let headers = request.headers();
        let request = request.request(&headers);
        let router = self.router(snapshot, false);
        router.route(&mut located, &request, self).await
    }
}

impl Waiting for Requests<'_> {
    type Stop = Disconnected;

    fn permit(&self) -> Result<(), Disconnected> {
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), Disconnected> {
        self.flush().await?;
        self.reserve(self.out.capacity())
            .map_err(|_out_of_memory| Disconnected)
    }

    async fn read_body(
        &mut self,
        body: PendingBody,
    ) -> Result<Result<Bytes, Response>, Disconnected> {
        Requests::read_body(self, body).await
    }
}
