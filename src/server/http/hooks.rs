//! The hooks of nchan locations (nhpm-nchan.md, section 2.9): who is asked, what, and
//! what the answer means.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::Method;
use bytes::Bytes;

use super::backend::{Ask, Unreachable};
use super::connection::{Disconnected, Requests, Served};
use super::decision::{Again, Decision};
use super::head::{self, BodyLength, Parsed};
use super::hook_response::{HookResponse, KeptHeaders, Returned};
use super::proxy_request;
use super::rewriting::{Answering, Destination, Start};
use super::route::{Next, Routed, Router};
use super::web;
use crate::server::config::web::Gate;
use crate::server::config::{
    Captures, Expression, LocationSettings, NchanSettings, RewriteFrame, Variables,
};
use crate::server::dialect::nchan::negotiation::RequestedAction;
use crate::server::dialect::nchan::variables::{NchanValues, NchanVariables};
use crate::server::dialect::nchan::{VARY, message_id};
use crate::server::dialect::push_stream::cursor::percent_decode;
use crate::server::log_throttle::LogThrottle;
use crate::server::request::{Request, RequestVariables};
use crate::server::response::{Response, Status};

/// Clients choose such values, so that they must not fill the log.
static RARELY: LogThrottle = LogThrottle::new();

/// Most questions about a request that a back-end has redirected: its password, `auth_request`, a
/// hook.
const MAX_DECISIONS: usize = 6;

/// Whether a request may go on.
pub(super) struct Authorization {
    pub(super) ask: Result<Ask, Unreachable>,
    pub(super) wanted: RequestedAction,
}

/// Requests about a subscriber that stays: when it comes and when it leaves.
#[derive(Debug, Default)]
pub(super) struct Notices {
    pub(super) came: Option<Ask>,
    pub(super) left: Option<Ask>,
}

/// The variables of a request for its hooks.
pub(super) fn values(
    settings: &NchanSettings,
    variables: &dyn Variables,
    wanted: RequestedAction,
) -> NchanValues {
    let expressions = if matches!(wanted, RequestedAction::Subscribe(_)) {
        &settings.subscriber_ids
    } else {
        &settings.publisher_ids
    };
    let named = crate::server::dialect::nchan::channels(settings, expressions, variables);
    let id = message_id::of_request(settings, variables).ok().flatten();
    let position = id.map_or_else(|| "0:0".to_owned(), |id| id.to_string());
    NchanValues {
        channel_ids: named.map(|named| named.ids).unwrap_or_default(),
        subscriber_type: if let RequestedAction::Subscribe(mode) = wanted {
            mode.name()
        } else {
            ""
        },
        publisher_type: match wanted {
            RequestedAction::Publish => "http",
            RequestedAction::PublishWebSocket => "websocket",
            _ => "",
        },
        prev_message_id: if wanted == RequestedAction::Publish {
            String::new()
        } else {
            position
        },
        ..NchanValues::default()
    }
}

/// The request that an internal URI stands for.
pub(super) fn ask_hook(
    uri: &Expression,
    variables: &RequestVariables<'_>,
    values: &NchanValues,
    (method, tells_length): (Method, bool),
) -> Result<Ask, Unreachable> {
    let (path, own_arguments) = uri.evaluate_to_uri(&NchanVariables {
        request: variables,
        values,
    });
    let query = own_arguments.as_deref().unwrap_or(variables.request.query);
    // What stands in its location sees the request of the hook, not the client's; what was set
    // stays set.
    let request = Request {
        path: Cow::Borrowed(&path),
        query,
        ..*variables.request
    };
    let none = RewriteFrame::default();
    let mut frame = RewriteFrame::new(Captures::default(), variables.frame.assigned.clone());
    let start = RequestVariables {
        request: &request,
        frame: &none,
        client: Some(variables),
        ..*variables
    };
    let start = Start {
        variables: start,
        values: Some(values),
        method: method.as_str(),
        may_enter_internal: &|_| true,
        body_bytes: None,
        max_body_bytes: None,
    };
    let destination = start.walk(&mut frame);
    let Destination { settings, gate, .. } = destination;
    // What a directive that is not enforced would make of the request is not known; one that is
    // enforced in front has let it in.
    if gate == Gate::Closed {
        return Err(leads_through_guard(&path));
    }
    let rewritten = frame.uri.as_ref().map(|uri| Request {
        path: Cow::Borrowed(&uri.path),
        query: &uri.arguments,
        ..*start.variables.request
    });
    let request = rewritten.as_ref().unwrap_or(&request);
    let own = RequestVariables {
        request,
        frame: &frame,
        client: Some(variables),
        ..*variables
    }
    .in_location(&settings.web);
    let own = NchanVariables {
        request: &own,
        values,
    };
    match (&destination.end, &settings.proxy) {
        (Answering::Location, Some(proxy)) if destination.location.is_some() => proxy_request::ask(
            proxy,
            request,
            &own,
            frame.stays,
            (method.clone(), tells_length),
        ),
        (Answering::Location, _) => Err(leads_nowhere(&path)),
        (end, _) => Ok(Ask::Returned(Box::new(HookResponse::of_return(returned(
            end, settings, request, &own,
        ))))),
    }
}

/// The answer of the rewrite phase.
fn returned(
    end: &Answering<'_>,
    settings: &LocationSettings,
    request: &Request<'_>,
    variables: &dyn Variables,
) -> Returned {
    match end {
        Answering::Return(answer) => Returned {
            status: answer.status,
            response: web::returned(answer, request, &settings.types, variables),
            has_text: answer.text.is_some(),
        },
        Answering::Redirect(status, address) => Returned {
            status: *status,
            response: Some(web::redirection(*status, address, request)),
            has_text: false,
        },
        Answering::Error(status) => Returned {
            status: status.0,
            response: Some(Response::error_page(*status)),
            has_text: false,
        },
        // The caller has looked at it.
        Answering::Location => Returned {
            status: 500,
            response: Some(Response::error_page(Status::INTERNAL)),
            has_text: false,
        },
    }
}

fn leads_through_guard(path: &[u8]) -> Unreachable {
    RARELY.warn(|left_out| {
        let path = path.escape_ascii().to_string();
        tracing::warn!(
            path,
            left_out,
            "the location of a hook has directives that are not enforced: it is answered with 503"
        );
    });
    Unreachable::Unsupported
}

fn leads_nowhere(path: &[u8]) -> Unreachable {
    RARELY.warn(|left_out| {
        let path = path.escape_ascii().to_string();
        tracing::warn!(
            path,
            left_out,
            "a hook leads to no location with proxy_pass or return: it counts as down"
        );
    });
    Unreachable::Failed
}

impl Router<'_> {
    /// Asks whether a request may go on, if its location has that hook.
    pub(super) fn authorization(
        &self,
        settings: &NchanSettings,
        variables: &RequestVariables<'_>,
        wanted: RequestedAction,
    ) -> Option<Authorization> {
        let uri = settings
            .hooks
            .authorize
            .as_ref()
            .filter(|_| !self.again.authorized)?;
        if !matches!(
            wanted,
            RequestedAction::Subscribe(_)
                | RequestedAction::Publish
                | RequestedAction::PublishWebSocket
        ) {
            return None;
        }
        let values = values(settings, variables, wanted);
        Some(Authorization {
            ask: ask_hook(uri, variables, &values, (Method::GET, false)),
            wanted,
        })
    }

    /// What is told of a subscriber that stays.
    pub(super) fn notices(
        settings: &NchanSettings,
        variables: &RequestVariables<'_>,
        wanted: RequestedAction,
    ) -> Notices {
        if !matches!(wanted, RequestedAction::Subscribe(mode) if mode.is_stream()) {
            return Notices::default();
        }
        let ask = |uri: &Option<Expression>| {
            let values = values(settings, variables, wanted);
            ask_hook(uri.as_ref()?, variables, &values, (Method::GET, true)).ok()
        };
        Notices {
            came: ask(&settings.hooks.subscribe),
            left: ask(&settings.hooks.unsubscribe),
        }
    }
}

impl Authorization {
    /// The answer to a request that may not go on; `None` = the connection is closed without one.
    pub(super) fn refusal(
        wanted: RequestedAction,
        told: Result<HookResponse, Unreachable>,
    ) -> Option<Response> {
        let is_publisher = wanted == RequestedAction::Publish;
        let waits = matches!(wanted, RequestedAction::Subscribe(mode) if !mode.is_stream());
        let vary: &[u8] = if waits { VARY } else { b"" };
        Some(match told {
            Ok(HookResponse {
                status,
                returned: Some(returned),
                ..
            }) if !is_publisher || !returned.has_text => match status {
                301..=303 | 307 | 308 | 400.. => returned.response?.with_headers(vary),
                // It refuses the request, and is no answer to it.
                _ => Response::error_page(Status::FORBIDDEN).with_headers(vary),
            },
            Ok(_) if is_publisher => Response::error_page(Status::FORBIDDEN),
            Err(reason) if is_publisher => Response::error_page(reason.status()),
            Ok(told) => told.response().with_headers(vary),
            Err(reason) => Response::header_only(reason.status(), vary),
        })
    }
}

/// The path that a back-end leads to, decoded, and its arguments; `None` if it leads outside or is
/// none, of which nginx takes none either.
fn safe_target(target: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let (path, query) = target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()));
    let path = percent_decode(path);
    let is_safe = path.starts_with(b"/")
        && !path.contains(&0)
        && !path
            .split(|byte| *byte == b'/')
            .any(|segment| segment == b"..");
    is_safe.then(|| (path, query.get(1..).unwrap_or_default()))
}

/// What becomes of a message that a back-end was asked about.
pub(super) enum MessageDecision {
    /// It is published, or what the back-end made of it.
    Publish(Bytes, Option<Bytes>),
    /// It is not published, which is fine.
    Drop,
    /// It is refused.
    Refuse,
    /// There is no answer, for this reason.
    Down(Unreachable),
}

impl MessageDecision {
    /// Reads the answer of a back-end about a message.
    pub(super) fn of(
        told: Result<HookResponse, Unreachable>,
        text: Bytes,
        content_type: Option<Bytes>,
    ) -> Self {
        match told {
            Ok(told) => match told.status {
                // A `return` has no body for nchan: it publishes the message without its type.
                200..=202 if told.returned.is_some() => Self::Publish(text, None),
                200..=202 => Self::Publish(told.body.clone(), told.content_type()),
                304 => Self::Publish(text, content_type),
                204 => Self::Drop,
                _ => Self::Refuse,
            },
            Err(reason) => Self::Down(reason),
        }
    }
}

/// Where a back-end leads a request (`X-Accel-Redirect`).
struct Redirect {
    target: Vec<u8>,
    kept: Arc<KeptHeaders>,
}

impl Requests<'_> {
    /// Finds out what has to be known of a request, and routes it again.
    pub(super) async fn decide(
        &mut self,
        decision: Decision,
        head: Bytes,
        length: BodyLength,
    ) -> Result<Result<Option<Served>, Response>, Disconnected> {
        // Earlier answers do not wait for it.
        self.flush().await?;
        self.connection
            .cover(head.len() + self.out.capacity())
            .map_err(|_| Disconnected)?;
        let site = std::rc::Rc::clone(&self.connection.site);
        match decision.find(&site.backend).await {
            Ok(again) => Box::pin(self.route_again(head, length, again))
                .await
                .map(Ok),
            Err(Some(response)) => Ok(Err(response)),
            Err(None) => self.close().await.map(Ok),
        }
    }

    /// Passes a request on to a back-end, and follows where that leads.
    pub(super) async fn pass_on(
        &mut self,
        ask: Result<Ask, Unreachable>,
        (head, length): (Bytes, BodyLength),
        (max_body, expects_continue): (u64, bool),
    ) -> Result<Result<Option<Served>, Response>, Disconnected> {
        let body = match self.read_body(length, max_body, expects_continue).await? {
            Ok(body) => body,
            Err(response) => return Ok(Err(response)),
        };
        let told = match ask {
            Ok(ask) => self.connection.site.backend.ask(ask, body.clone()).await,
            Err(reason) => Err(reason),
        };
        let told = match told {
            Ok(told) => told,
            Err(reason) => return Ok(Err(Response::error_page(reason.status()))),
        };
        match told
            .header("x-accel-redirect")
            .filter(|_| !told.ignores_redirect())
            .map(<[u8]>::to_vec)
        {
            Some(target) => {
                self.redirect(
                    Redirect {
                        target,
                        kept: Arc::new(told.kept()),
                    },
                    head,
                    body,
                )
                .await
            }
            None => Ok(Err(told.response())),
        }
    }

    /// Serves the request as one for an internal location; its body is read already.
    async fn redirect(
        &mut self,
        redirect: Redirect,
        head: Bytes,
        body: Bytes,
    ) -> Result<Result<Option<Served>, Response>, Disconnected> {
        let Some((path, query)) = safe_target(&redirect.target) else {
            return Ok(Err(Response::error_page(Status::NOT_FOUND)));
        };
        let mut again = Again::redirected(path.to_vec());
        again.kept = Some(redirect.kept);
        for _ in 0..MAX_DECISIONS {
            let site = std::rc::Rc::clone(&self.connection.site);
            let connection = &*self.connection;
            let router = Router {
                site: &site,
                shard: &connection.shard,
                key: connection.key,
                outlet: &connection.outlet,
                requests: connection.requests,
                notes_polls: false,
                again: &again,
            };
            let length = if body.is_empty() {
                BodyLength::None
            } else {
                BodyLength::Bytes(body.len() as u64)
            };
            let parsed = head::parse(
                &head,
                site.limits.max_header_bytes,
                &connection.peer,
                |request, _| {
                    router.route(
                        &Request {
                            path: Cow::Borrowed(&path),
                            query,
                            ..*request
                        },
                        length,
                    )
                },
            );
            let Parsed::Complete(_, _, mut routed) = parsed else {
                return Err(Disconnected);
            };
            let head = if matches!(routed.next, Next::File(_)) {
                head.clone()
            } else {
                Bytes::new()
            };
            let next = match routed.next {
                Next::Read(plan, _, asking) => {
                    Next::Respond(self.finish(&plan, asking, body).await)
                }
                Next::Decide(decision) => match decision.find(&site.backend).await {
                    Ok(known) => {
                        // It is logged when it is routed again.
                        routed.log.iter_mut().for_each(|log| log.forget());
                        again = known;
                        continue;
                    }
                    Err(response) => response.map_or(Next::Last(Vec::new()), Next::Respond),
                },
                // One redirection is enough.
                Next::Discard(_) | Next::PassOn(_) => {
                    routed.log.iter_mut().for_each(|log| log.forget());
                    break;
                }
                next => next,
            };
            return Box::pin(self.perform(Routed { next, ..routed }, BodyLength::None, head))
                .await
                .map(Ok);
        }
        Ok(Err(Response::error_page(Status::INTERNAL).closing()))
    }

    /// Finishes what a publisher wants, after asking a back-end about its message if its location
    /// says so.
    pub(super) async fn finish(
        &mut self,
        plan: &crate::server::publisher::Plan,
        asking: Option<Box<Result<Ask, Unreachable>>>,
        body: Bytes,
    ) -> Response {
        let broker = self.connection.shard.broker().clone();
        let Some(asking) = asking else {
            return plan.finish(&broker, body);
        };
        let told = self
            .connection
            .site
            .backend
            .decide(*asking, body.clone())
            .await;
        match MessageDecision::of(told, body, plan.content_type()) {
            MessageDecision::Publish(text, content_type) => {
                plan.finish_with(&broker, text, content_type)
            }
            MessageDecision::Drop => Response {
                bodiless: true,
                ..Response::header_only(Status(204), &b""[..])
            },
            MessageDecision::Refuse => Response::error_page(Status::FORBIDDEN),
            MessageDecision::Down(Unreachable::Unsupported) => Response::error_page(Status(503)),
            MessageDecision::Down(_) => Response::error_page(Status::INTERNAL).closing(),
        }
    }
}
