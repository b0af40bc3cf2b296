//! A request at a location, on its way to its endpoint: admission (`admission`), then the endpoint
//! or the content of the location (`content`).

use super::{Located, NextStep, Redirection, Responder, RoutedRequest, Router, Waiting};
use crate::server::access::browser_guard::BrowserGuard;
use crate::server::access::grant::Grant;
use crate::server::access::host_names::ListenerTraits;
use crate::server::broker::{PendingTickets, PublishError};
use crate::server::config::ProxySettings;
use crate::server::config::expression::regex_pattern;
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{AddedHeaders, Status};
use crate::server::exchange::variables::RequestVariables;

/// Result of the admission of a request.
pub(super) enum Entrance<'s> {
    /// It does not enter, or is answered already.
    Ended(NextStep),
    /// It enters its location, which has an endpoint, with this grant.
    Endpoint(Grant),
    /// It is for a static file.
    Files,
    /// It is for a back-end.
    BackEnd(&'s ProxySettings),
}

/// A request at its location.
pub(super) struct Visit<'r, 's, W> {
    pub(super) router: &'r Router<'s>,
    pub(super) located: &'r mut Located<'s>,
    /// The request as the client has sent it.
    pub(super) request: &'r Request<'r>,
    pub(super) waiting: &'r mut W,
}

impl<W: Waiting> Visit<'_, '_, W> {
    /// Responds to a located request, or redirects it.
    pub(super) async fn respond(&mut self) -> Result<Result<RoutedRequest, Redirection>, W::Stop> {
        let guard = self.guard();
        let (added, rejection) =
            guard.map_or((None, None), |guard| (Some(guard.added), guard.response));
        let admission = match rejection {
            Some(response) => Entrance::Ended(NextStep::Respond(response)),
            None => self.admit().await?,
        };
        let responder = match admission {
            Entrance::Ended(next) => Responder::Router(next),
            Entrance::Endpoint(grant) => Responder::Endpoint(grant),
            Entrance::Files => match self.find_file().await? {
                Ok(next) => Responder::Router(next),
                Err(redirection) => return Ok(Err(redirection)),
            },
            Entrance::BackEnd(proxy) => match self.call_backend(proxy).await? {
                Ok(next) => Responder::Router(next),
                Err(redirection) => return Ok(Err(redirection)),
            },
        };
        let mut routed = self
            .router
            .complete(self.located, self.request, added, responder);
        while let NextStep::Open(openings, grant) = routed.next {
            let responder = self.open_channels(openings, grant).await?;
            let added = self.guard().map(|guard| guard.added);
            routed = self
                .router
                .complete(self.located, self.request, added, responder);
        }
        Ok(Ok(routed))
    }

    /// Waits until the channels of a subscriber are open.
    async fn open_channels(
        &mut self,
        openings: PendingTickets<()>,
        grant: Grant,
    ) -> Result<Responder, W::Stop> {
        self.waiting.begin().await?;
        Ok(match openings.settle().await {
            Ok(_) => Responder::Endpoint(grant),
            Err(PublishError::Rejected(_)) => Responder::Router(NextStep::internal_error()),
            Err(PublishError::TooManyPending | PublishError::Unacknowledged) => {
                Responder::Router(NextStep::error_page(Status(503)))
            }
        })
    }

    /// The decision of the built-in locations about the request of a web page.
    fn guard(&self) -> Option<BrowserGuard> {
        self.located.server.browser_access.as_ref()?;
        let snapshot = self.router.snapshot;
        self.with(|variables| {
            let listener = ListenerTraits {
                address: &snapshot.listener.address,
                real_ip: snapshot.limits.real_ip.as_ref(),
            };
            let RequestVariables {
                server,
                request,
                peer,
                ..
            } = *variables;
            BrowserGuard::of(server, request, peer, listener)
        })
    }

    /// Whether a header line that the location adds cannot be evaluated. A request that will fail
    /// must not call a back-end before.
    pub(super) fn has_failing_header(&self) -> bool {
        let web = &self.located.destination.settings.web;
        if !web.added_headers.is_empty() {
            self.with(|variables| drop(AddedHeaders::of(web, variables)));
        }
        regex_pattern::has_failure()
    }

    /// Calls `work` with the variables of the request as its location sees it.
    pub(super) fn with<T>(&self, work: impl FnOnce(&RequestVariables<'_>) -> T) -> T {
        self.located.with(self.request, work)
    }
}

impl Entrance<'_> {
    pub(super) fn error_page(status: Status) -> Self {
        Self::Ended(NextStep::error_page(status))
    }
}
