//! A request that waits while it is routed.
//!
//! It may be cut off at any wait, by the client or by the end of the server. Then it has no routed
//! request that would log it: it leaves its line in the access log itself, with status 499.

use super::{Located, RoutedRequest, Router, Waiting, logging};
use crate::server::exchange::request::Request;

/// A located request that waits.
pub(in crate::server) struct WaitingRequest<'r, 's> {
    located: Located<'s>,
    request: Request<'r>,
    is_routed: bool,
}

impl<'r, 's> WaitingRequest<'r, 's> {
    pub(in crate::server) fn new(located: Located<'s>, request: Request<'r>) -> Self {
        Self {
            located,
            request,
            is_routed: false,
        }
    }

    /// Routes the request.
    pub(in crate::server) async fn route<W: Waiting>(
        &mut self,
        router: &Router<'s>,
        waiting: &mut W,
    ) -> Result<RoutedRequest, W::Stop> {
        let routed = router
            .route(&mut self.located, &self.request, waiting)
            .await?;
        self.is_routed = true;
        Ok(routed)
    }
}

impl Drop for WaitingRequest<'_, '_> {
    fn drop(&mut self) {
        if self.is_routed {
            return;
        }
        let Self {
            located, request, ..
        } = self;
        let settings = located.destination.settings;
        located.with(request, |variables| {
            // Dropping the entry writes it.
            drop(logging::entry(settings, variables, located.began));
        });
    }
}
