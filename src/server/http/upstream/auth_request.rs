//! `auth_request`: another location accepts or rejects a request (nginx's
//! `ngx_http_auth_request_module`).
//!
//! | status of that location | the request |
//! |---|---|
//! | 200 to 299 | is accepted |
//! | 401, 403 | is rejected with that status; `WWW-Authenticate` is passed on |
//! | any other, or none, or a redirect by `X-Accel-Redirect` | gets status 500 |
//!
//! The location is found as for a separate GET request without arguments and body; it has
//! `proxy_pass` or a `return`. The back-end gets the headers of the client. Time and size of its
//! responses are limited as for hooks.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::Method;
use axum::http::header::{HeaderMap, SET_COOKIE, WWW_AUTHENTICATE};
use bytes::Bytes;

use super::backend::BackendClient;
use super::backend_request::{HookCall, HookError};
use super::hook_response::HookResponse;
use super::proxy_request;
use super::proxy_request::CallTraits;
use crate::server::config::model::web::{AuthRequest, Gate};
use crate::server::config::{Captures, Expression, RewriteFrame, Variables};
use crate::server::exchange::request::Request;
use crate::server::exchange::variables::RequestVariables;
use crate::server::http::rewriting::{Destination, PhaseEnd, RewriteRequest};
use crate::server::observe::log_throttle::LogThrottle;

/// Throttled, because clients cause these warnings.
static WARNINGS: LogThrottle = LogThrottle::new();

/// Status of a location that cannot be used.
const INTERNAL: u16 = 500;

/// The subrequest about a client's request.
pub(in crate::server) struct AuthSubrequest {
    settings: Arc<AuthRequest>,
    target: SubrequestTarget,
}

/// The target of a subrequest.
enum SubrequestTarget {
    /// The location has this status without a back-end.
    Status(u16),
    /// The response of a back-end decides.
    Call(Box<Result<HookCall, HookError>>),
}

/// Result of a subrequest.
pub(in crate::server) struct AuthRequestResult {
    pub(in crate::server) settings: Arc<AuthRequest>,
    pub(in crate::server) status: u16,
    /// Response headers of the back-end; `None` if there was none.
    headers: Option<HeaderMap>,
}

impl AuthSubrequest {
    /// Prepares the subrequest about a client's request.
    pub(in crate::server) fn new(
        settings: &Arc<AuthRequest>,
        client: &RequestVariables<'_>,
    ) -> Self {
        let target = with_subrequest(settings, client, |destination, variables| {
            find_target(settings, destination, variables)
        });
        Self {
            settings: Arc::clone(settings),
            target,
        }
    }

    /// Sends the subrequest to its back-end, if it has one.
    pub(in crate::server) async fn send(self, backend: &BackendClient) -> AuthRequestResult {
        let Self { settings, target } = self;
        let (status, headers) = match target {
            SubrequestTarget::Status(status) => (status, None),
            SubrequestTarget::Call(call) => {
                let response = match *call {
                    Ok(call) => backend.call(call, Bytes::new()).await,
                    Err(reason) => Err(reason),
                };
                match response {
                    // In nginx another location would decide; that is not supported.
                    Ok(HookResponse { headers, .. })
                        if headers.contains_key("x-accel-redirect") =>
                    {
                        (INTERNAL, Some(headers))
                    }
                    Ok(HookResponse {
                        status, headers, ..
                    }) => (status, Some(headers)),
                    Err(reason) => (reason.status().0, Some(HeaderMap::new())),
                }
            }
        };
        if !matches!(status, 200..=299 | 401 | 403) {
            WARNINGS.warn(|suppressed| {
                let uri = settings.uri.escape_ascii().to_string();
                tracing::warn!(
                    uri,
                    status,
                    suppressed,
                    "unexpected status of auth_request, responding with 500"
                );
            });
        }
        AuthRequestResult {
            settings,
            status,
            headers,
        }
    }
}

impl AuthRequestResult {
    /// Value of the `WWW-Authenticate` header.
    pub(in crate::server) fn challenge(&self) -> Option<&[u8]> {
        Some(self.headers.as_ref()?.get(WWW_AUTHENTICATE)?.as_bytes())
    }

    /// Variables that the subrequest sets, by slot: with `set` in its location, and with
    /// `auth_request_set`.
    pub(in crate::server) fn variables(
        &self,
        client: &RequestVariables<'_>,
    ) -> Vec<(usize, Bytes)> {
        with_subrequest(&self.settings, client, |_, variables| {
            let set = variables
                .frame
                .assigned
                .iter()
                .enumerate()
                .filter_map(|(slot, value)| Some((slot, value.clone()?)));
            let mut all: Vec<(usize, Bytes)> = set.collect();
            let response = ResponseVariables {
                request: variables,
                result: self,
            };
            let value = |text: &Expression| Bytes::from(text.evaluate(&response).into_owned());
            all.extend(
                self.settings
                    .variables
                    .iter()
                    .map(|(slot, text)| (*slot, value(text))),
            );
            all
        })
    }
}

/// Runs the rewrite phase of the subrequest about a client's request, and calls `work` with the
/// result.
fn with_subrequest<T>(
    settings: &AuthRequest,
    client: &RequestVariables<'_>,
    work: impl FnOnce(&Destination<'_>, &RequestVariables<'_>) -> T,
) -> T {
    // Captures by number are not visible here; variables are shared.
    let none = RewriteFrame::default();
    let mut frame = RewriteFrame::new(Captures::default(), client.frame.assigned.clone());
    frame.memo = client.frame.memo.clone();
    let request = Request {
        path: Cow::Borrowed(&settings.uri),
        query: b"",
        ..*client.request
    };
    let variables = RequestVariables {
        request: &request,
        frame: &none,
        client: Some(client),
        ..*client
    };
    let destination = RewriteRequest {
        variables,
        values: None,
        method: "GET",
        may_enter_internal: &|_| true,
        body_bytes: None,
        max_body_bytes: None,
    }
    .run(client.server, &mut frame);
    let rewritten = frame.uri.as_ref().map(|uri| Request {
        path: Cow::Borrowed(&uri.path),
        query: &uri.arguments,
        ..request
    });
    let request = rewritten.as_ref().unwrap_or(&request);
    let variables = RequestVariables {
        request,
        frame: &frame,
        client: Some(client),
        ..*client
    }
    .in_location(&destination.settings.web);
    work(&destination, &variables)
}

/// Determines the target of a subrequest at its location.
fn find_target(
    settings: &AuthRequest,
    destination: &Destination<'_>,
    variables: &RequestVariables<'_>,
) -> SubrequestTarget {
    if destination.gate == Gate::Closed {
        return SubrequestTarget::Status(INTERNAL);
    }
    match &destination.end {
        PhaseEnd::Return(answer) => return SubrequestTarget::Status(answer.status),
        PhaseEnd::Redirect(status, _) => return SubrequestTarget::Status(*status),
        PhaseEnd::Error(status) => return SubrequestTarget::Status(status.0),
        PhaseEnd::Location => {}
    }
    let Some(proxy) = destination.settings.endpoint.back_end() else {
        WARNINGS.warn(|suppressed| {
            let uri = settings.uri.escape_ascii().to_string();
            tracing::warn!(
                uri,
                suppressed,
                "auth_request leads to no location with proxy_pass or return, treating it as 404"
            );
        });
        return SubrequestTarget::Status(404);
    };
    SubrequestTarget::Call(Box::new(proxy_request::build_call(
        proxy,
        variables.request,
        variables,
        &CallTraits {
            is_rewritten: variables.frame.stays,
            method: Method::GET,
            sends_length: false,
        },
    )))
}

/// Variables that depend on the response to the subrequest, for `auth_request_set`.
struct ResponseVariables<'a> {
    request: &'a RequestVariables<'a>,
    result: &'a AuthRequestResult,
}

impl ResponseVariables<'_> {
    /// Finds the first header by its name in a variable, which has `_` for `-`.
    fn response_header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let is_it = |known: &str| {
            known.len() == name.len()
                && known
                    .bytes()
                    .map(|byte| if byte == b'-' { b'_' } else { byte })
                    .eq(name.bytes())
        };
        let (_, value) = self
            .result
            .headers
            .as_ref()?
            .iter()
            .find(|(known, _)| is_it(known.as_str()))?;
        Some(Cow::Borrowed(value.as_bytes()))
    }

    /// Finds a cookie by its name.
    fn cookie(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.result
            .headers
            .as_ref()?
            .get_all(SET_COOKIE)
            .iter()
            .find_map(|line| {
                let cookie = line.as_bytes().split(|byte| *byte == b';').next()?;
                let equals = memchr::memchr(b'=', cookie)?;
                cookie[..equals]
                    .eq_ignore_ascii_case(name.as_bytes())
                    .then(|| Cow::Borrowed(cookie[equals + 1..].trim_ascii()))
            })
    }

    fn status(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.result.status.to_string().into_bytes())
    }
}

impl Variables for ResponseVariables<'_> {
    fn inner(&self) -> Option<&dyn Variables> {
        Some(self.request)
    }

    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let of_back_end = self.result.headers.is_some();
        match name {
            "status" => Some(self.status()),
            "upstream_status" => of_back_end.then(|| self.status()),
            _ => match (
                name.strip_prefix("upstream_http_")
                    .or_else(|| name.strip_prefix("sent_http_")),
                name.strip_prefix("upstream_cookie_"),
            ) {
                (Some(name), _) => self.response_header(name),
                (_, Some(name)) => self.cookie(name),
                _ => self.request.builtin(name),
            },
        }
    }
}
