//! `auth_request`: another location decides about a request (nginx's
//! `ngx_http_auth_request_module`).
//!
//! | status of that location | the request |
//! |---|---|
//! | 200 to 299 | goes on |
//! | 401, 403 | is rejected with it; `WWW-Authenticate` is passed on |
//! | any other, or none, or a redirection by `X-Accel-Redirect` | is answered with 500 |
//!
//! The location is found as for a request of its own with the method GET and without arguments and
//! body; it has `proxy_pass`, or a `return`. The back-end gets the headers of the client. Time and
//! size of its answers are bounded as for hooks.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::Method;
use axum::http::header::{HeaderMap, SET_COOKIE, WWW_AUTHENTICATE};
use bytes::Bytes;

use super::backend::{Ask, Backend, Unreachable};
use super::hook_response::HookResponse;
use super::proxy_request;
use super::rewriting::{Answering, Destination, Start};
use crate::server::config::web::{AuthRequest, Gate};
use crate::server::config::{Captures, Endpoint, Expression, RewriteFrame, Variables};
use crate::server::log_throttle::LogThrottle;
use crate::server::request::{Request, RequestVariables};

/// Clients cause these lines.
static RARELY: LogThrottle = LogThrottle::new();

/// Status of a location that cannot be asked.
const INTERNAL: u16 = 500;

/// A request that is to be asked about.
pub(super) struct Inquiry {
    settings: Arc<AuthRequest>,
    target: Target,
}

/// What the location of the request comes to.
enum Target {
    /// This status, at once.
    Status(u16),
    /// What this back-end answers.
    Ask(Box<Result<Ask, Unreachable>>),
}

/// What came of a request.
pub(super) struct AuthRequestResult {
    pub(super) settings: Arc<AuthRequest>,
    pub(super) status: u16,
    /// Headers of a back-end; `None` = there was none.
    headers: Option<HeaderMap>,
}

impl Inquiry {
    /// What has to be asked about a client's request.
    pub(super) fn new(settings: &Arc<AuthRequest>, client: &RequestVariables<'_>) -> Self {
        let target = with_subrequest(settings, client, |destination, variables| {
            target(settings, destination, variables)
        });
        Self {
            settings: Arc::clone(settings),
            target,
        }
    }

    /// Asks.
    pub(super) async fn ask(self, backend: &Backend) -> AuthRequestResult {
        let Self { settings, target } = self;
        let (status, headers) = match target {
            Target::Status(status) => (status, None),
            Target::Ask(ask) => {
                let told = match *ask {
                    Ok(ask) => backend.ask(ask, Bytes::new()).await,
                    Err(reason) => Err(reason),
                };
                match told {
                    // In nginx another location would decide then.
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
            RARELY.warn(|left_out| {
                let uri = settings.uri.escape_ascii().to_string();
                tracing::warn!(
                    uri,
                    status,
                    left_out,
                    "unexpected status of auth_request: the request is answered with 500"
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
    /// The value of the `WWW-Authenticate` header.
    pub(super) fn challenge(&self) -> Option<&[u8]> {
        Some(self.headers.as_ref()?.get(WWW_AUTHENTICATE)?.as_bytes())
    }

    /// The variables that the request has set, by number: with `set` in its location, and with
    /// `auth_request_set`.
    pub(super) fn variables(&self, client: &RequestVariables<'_>) -> Vec<(usize, Bytes)> {
        with_subrequest(&self.settings, client, |_, variables| {
            let set = variables
                .frame
                .assigned
                .iter()
                .enumerate()
                .filter_map(|(slot, value)| Some((slot, value.clone()?)));
            let mut all: Vec<(usize, Bytes)> = set.collect();
            let answered = Answered {
                request: variables,
                result: self,
            };
            let value = |text: &Expression| Bytes::from(text.evaluate(&answered).into_owned());
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

/// Lets `work` see the request about a client's request, in its location.
fn with_subrequest<T>(
    settings: &AuthRequest,
    client: &RequestVariables<'_>,
    work: impl FnOnce(&Destination<'_>, &RequestVariables<'_>) -> T,
) -> T {
    // What is captured by number is not seen here; variables are shared.
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
    let destination = Start {
        variables,
        values: None,
        method: "GET",
        may_enter_internal: &|_| true,
        body_bytes: None,
        max_body_bytes: None,
    }
    .walk(&mut frame);
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

fn target(
    settings: &AuthRequest,
    destination: &Destination<'_>,
    variables: &RequestVariables<'_>,
) -> Target {
    if destination.gate == Gate::Closed {
        return Target::Status(INTERNAL);
    }
    match &destination.end {
        Answering::Return(answer) => return Target::Status(answer.status),
        Answering::Redirect(status, _) => return Target::Status(*status),
        Answering::Error(status) => return Target::Status(status.0),
        Answering::Location => {}
    }
    let is_endpoint = destination
        .location
        .is_some_and(|location| location.endpoint != Endpoint::None);
    let Some(proxy) = destination.settings.proxy.as_ref().filter(|_| !is_endpoint) else {
        RARELY.warn(|left_out| {
            let uri = settings.uri.escape_ascii().to_string();
            tracing::warn!(
                uri,
                left_out,
                "auth_request leads to no location with proxy_pass or return: it counts as 404"
            );
        });
        return Target::Status(404);
    };
    Target::Ask(Box::new(proxy_request::ask(
        proxy,
        variables.request,
        variables,
        variables.frame.stays,
        (Method::GET, false),
    )))
}

/// The variables of a request that was answered.
struct Answered<'a> {
    request: &'a RequestVariables<'a>,
    result: &'a AuthRequestResult,
}

impl Answered<'_> {
    /// The first header of that name, written as in a variable.
    fn answer_header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
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

    /// The cookie of that name.
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

impl Variables for Answered<'_> {
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
                (Some(name), _) => self.answer_header(name),
                (_, Some(name)) => self.cookie(name),
                _ => self.request.builtin(name),
            },
        }
    }
}
