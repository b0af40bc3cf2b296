//! Content of locations without an endpoint: static files, and responses of back-ends. Both may
//! redirect the request to another location.

use axum::http::Method;

use super::visit::Visit;
use super::{NextStep, RedirectCause, Redirection, RequestBody, Waiting};
use crate::server::config::ProxySettings;
use crate::server::config::expression::regex_pattern;
use crate::server::exchange::response::{Response, Status};
use crate::server::http::static_files::{FileOutcome, FileRequest};
use crate::server::http::upstream::accel_redirect::AccelTarget;
use crate::server::http::upstream::proxy_request::{self, CallTraits};

impl<W: Waiting> Visit<'_, '_, W> {
    /// Looks for a static file, where the location has files.
    pub(super) async fn find_file(&mut self) -> Result<Result<NextStep, Redirection>, W::Stop> {
        let settings = self.located.destination.settings;
        let Some(root) = &settings.web.root else {
            return Ok(Ok(NextStep::error_page(Status::NOT_FOUND)));
        };
        self.waiting.begin().await?;
        let file =
            self.with(|variables| FileRequest::new(root, settings, variables.request, variables));
        // The index of an index: nginx gives up after ten.
        let is_cycle = self.located.is_index() && file.is_directory();
        if is_cycle || regex_pattern::has_failure() {
            return Ok(Ok(NextStep::internal_error()));
        }
        Ok(match Box::pin(file.find()).await {
            FileOutcome::Respond(response) => Ok(NextStep::Respond(response)),
            FileOutcome::Stream(head, body) => Ok(NextStep::Stream(Box::new((head, body)))),
            FileOutcome::Redirect(path) => Err(Redirection {
                path,
                query: None,
                cause: RedirectCause::Index,
            }),
        })
    }

    /// Passes a request to a back-end, and returns its response or the location that it names
    /// (`X-Accel-Redirect`).
    pub(super) async fn call_backend(
        &mut self,
        proxy: &ProxySettings,
    ) -> Result<Result<NextStep, Redirection>, W::Stop> {
        self.waiting.begin().await?;
        if self.has_failing_header() {
            return Ok(Ok(NextStep::internal_error()));
        }
        let call = self.with(|variables| {
            let request = variables.request;
            let traits = CallTraits {
                is_rewritten: variables.frame.stays,
                method: Method::from_bytes(request.method.as_bytes()).unwrap_or(Method::GET),
                sends_length: false,
            };
            proxy_request::build_call(proxy, request, variables, &traits)
        });
        // A request that a back-end has redirected is not passed to one again.
        if self.located.kept().is_some() || regex_pattern::has_failure() {
            return Ok(Ok(NextStep::internal_error()));
        }
        let body = match self.waiting.read_body(self.located.body.pending()).await? {
            Ok(body) => body,
            Err(response) => return Ok(Ok(NextStep::Respond(response))),
        };
        self.located.body = RequestBody::Read(body.clone());
        let response = match call {
            Ok(call) => self.router.snapshot.backend.call(call, body).await,
            Err(error) => Err(error),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                let page = Response::error_page(error.status());
                return Ok(Ok(NextStep::Respond(page)));
            }
        };
        let target = response
            .header("x-accel-redirect")
            .filter(|_| !response.ignores_redirect());
        let Some(target) = target else {
            return Ok(Ok(NextStep::Respond(response.to_client())));
        };
        Ok(match AccelTarget::parse(target) {
            Some(AccelTarget { path, query }) => Err(Redirection {
                path: path.into_owned(),
                query: Some(query.to_vec()),
                cause: RedirectCause::BackEnd(response.kept()),
            }),
            None => Ok(NextStep::error_page(Status::NOT_FOUND)),
        })
    }
}
