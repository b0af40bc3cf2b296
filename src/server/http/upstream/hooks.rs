//! The hooks of nchan locations (nhpm-nchan.md, section 2.9): their requests, and which
//! requests and subscribers need them.
//!
//! `backend` sends the requests; `message_hook` interprets responses about messages.

use std::borrow::Cow;

use axum::http::Method;

use super::backend_request::{HookCall, HookError};
use super::hook_response::{HookResponse, ReturnedResponse};
use super::proxy_request;
use super::proxy_request::CallTraits;
use crate::server::config::model::web::Gate;
use crate::server::config::{
    Captures, Expression, LocationSettings, NchanSettings, RewriteFrame, Variables,
};
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{HeaderList, Response, Status};
use crate::server::exchange::variables::RequestVariables;
use crate::server::http::return_response;
use crate::server::http::rewriting::{Destination, PhaseEnd, RewriteRequest};
use crate::server::nchan;
use crate::server::nchan::negotiation::RequestedAction;
use crate::server::nchan::variables::{NchanValues, NchanVariables};
use crate::server::nchan::{VARY, message_id};
use crate::server::observe::log_throttle::LogThrottle;

/// Throttled, because clients choose the values that are logged.
static WARNINGS: LogThrottle = LogThrottle::new();

/// Notices about a subscriber (`nchan_subscribe_request`, `nchan_unsubscribe_request`).
#[derive(Debug, Default)]
pub(in crate::server) struct Notices {
    pub(in crate::server) subscribed: Option<HookCall>,
    pub(in crate::server) unsubscribed: Option<HookCall>,
}

/// Values of nchan's variables in the hooks of a request.
pub(in crate::server) fn values(
    settings: &NchanSettings,
    variables: &dyn Variables,
    wanted: RequestedAction,
) -> NchanValues {
    let expressions = if matches!(wanted, RequestedAction::Subscribe(_)) {
        &settings.subscriber_ids
    } else {
        &settings.publisher_ids
    };
    let channels = nchan::channels(settings, expressions, variables);
    let id = message_id::of_request(settings, variables).ok().flatten();
    let position = id.map_or_else(|| "0:0".to_owned(), |id| id.to_string());
    NchanValues {
        channel_ids: channels.map(|channels| channels.ids).unwrap_or_default(),
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

/// Builds the call that the internal URI of a hook stands for. `sends_length` sends a length also
/// without a body.
pub(in crate::server) fn build_hook_call(
    uri: &Expression,
    variables: &RequestVariables<'_>,
    values: &NchanValues,
    method: &Method,
    sends_length: bool,
) -> Result<HookCall, HookError> {
    let (path, arguments) = uri.evaluate_to_uri(&NchanVariables {
        request: variables,
        values,
    });
    let query = arguments.as_deref().unwrap_or(variables.request.query);
    // The location of the hook sees the request of the hook, not the client's; assigned variables
    // are shared.
    let request = Request {
        path: Cow::Borrowed(&path),
        query,
        ..*variables.request
    };
    let no_frame = RewriteFrame::default();
    let mut frame = RewriteFrame::new(Captures::default(), variables.frame.assigned.clone());
    let phase = RewriteRequest {
        variables: RequestVariables {
            request: &request,
            frame: &no_frame,
            client: Some(variables),
            ..*variables
        },
        values: Some(values),
        method: method.as_str(),
        may_enter_internal: &|_| true,
        body_bytes: None,
        max_body_bytes: None,
    };
    let destination = phase.run(variables.server, &mut frame);
    // With a directive that is not enforced the result is unknown. A directive that is enforced in
    // front has let the client's request in.
    if destination.gate == Gate::Closed {
        return Err(reject_guarded(&path));
    }
    let traits = CallTraits {
        is_rewritten: frame.stays,
        method: method.clone(),
        sends_length,
    };
    let own = RequestVariables {
        frame: &frame,
        ..phase.variables
    };
    call_destination(&destination, own, values, &traits)
        .unwrap_or_else(|| Err(reject_dead_end(&path)))
}

/// Builds the call of the location that a hook leads to; `None` if it has neither `proxy_pass` nor
/// a response.
fn call_destination(
    destination: &Destination<'_>,
    variables: RequestVariables<'_>,
    values: &NchanValues,
    traits: &CallTraits,
) -> Option<Result<HookCall, HookError>> {
    let settings = destination.settings;
    let rewritten = variables.frame.uri.as_ref().map(|uri| Request {
        path: Cow::Borrowed(&uri.path),
        query: &uri.arguments,
        ..*variables.request
    });
    let request = rewritten.as_ref().unwrap_or(variables.request);
    let variables = RequestVariables {
        request,
        ..variables
    }
    .in_location(&settings.web);
    let variables = &NchanVariables {
        request: &variables,
        values,
    };
    if matches!(destination.end, PhaseEnd::Location) {
        destination.location?;
        let proxy = settings.endpoint.back_end()?;
        return Some(proxy_request::build_call(proxy, request, variables, traits));
    }
    let returned = return_from(&destination.end, settings, request, variables);
    Some(Ok(HookCall::Returned(Box::new(HookResponse::of_return(
        returned,
    )))))
}

/// The response of the rewrite phase.
fn return_from(
    end: &PhaseEnd<'_>,
    settings: &LocationSettings,
    request: &Request<'_>,
    variables: &dyn Variables,
) -> ReturnedResponse {
    match end {
        PhaseEnd::Return(directive) => ReturnedResponse {
            status: directive.status,
            response: return_response::render(directive, request, &settings.types, variables),
            has_text: directive.text.is_some(),
        },
        PhaseEnd::Redirect(status, address) => ReturnedResponse {
            status: *status,
            response: Some(return_response::redirection(*status, address, request)),
            has_text: false,
        },
        PhaseEnd::Error(status) => ReturnedResponse {
            status: status.0,
            response: Some(Response::error_page(*status)),
            has_text: false,
        },
        // Unreachable: the caller has handled it.
        PhaseEnd::Location => ReturnedResponse {
            status: 500,
            response: Some(Response::error_page(Status::INTERNAL)),
            has_text: false,
        },
    }
}

fn reject_guarded(path: &[u8]) -> HookError {
    WARNINGS.warn(|suppressed| {
        let path = path.escape_ascii().to_string();
        tracing::warn!(
            path,
            suppressed,
            "the location of a hook has directives that are not enforced, responding with 503"
        );
    });
    HookError::Unsupported
}

fn reject_dead_end(path: &[u8]) -> HookError {
    WARNINGS.warn(|suppressed| {
        let path = path.escape_ascii().to_string();
        tracing::warn!(
            path,
            suppressed,
            "a hook leads to no location with proxy_pass or return, treating it as down"
        );
    });
    HookError::Failed
}

/// Returns the URI of the hook that accepts or rejects such a request (`nchan_authorize_request`).
pub(in crate::server) fn authorization_of(
    settings: &NchanSettings,
    wanted: RequestedAction,
) -> Option<&Expression> {
    let is_checked = matches!(
        wanted,
        RequestedAction::Subscribe(_)
            | RequestedAction::Publish
            | RequestedAction::PublishWebSocket
    );
    settings.hooks.authorize.as_ref().filter(|_| is_checked)
}

/// Builds the call of the hook that accepts or rejects a request.
pub(in crate::server) fn build_authorization(
    uri: &Expression,
    settings: &NchanSettings,
    variables: &RequestVariables<'_>,
    wanted: RequestedAction,
) -> Result<HookCall, HookError> {
    let values = values(settings, variables, wanted);
    build_hook_call(uri, variables, &values, &Method::GET, false)
}

/// Returns the response to a request that a hook has rejected; `None` if the connection is closed
/// without one.
pub(in crate::server) fn rejection(
    wanted: RequestedAction,
    response: Result<HookResponse, HookError>,
) -> Option<Response> {
    let is_publisher = wanted == RequestedAction::Publish;
    let is_poll = matches!(wanted, RequestedAction::Subscribe(mode) if !mode.is_stream());
    let no_headers = HeaderList::default();
    let vary = if is_poll { &VARY } else { &no_headers };
    Some(match response {
        Ok(HookResponse {
            status,
            returned: Some(returned),
            ..
        }) if !is_publisher || !returned.has_text => match status {
            301..=303 | 307 | 308 | 400.. => returned.response?.with_headers(vary),
            // Any other status rejects the request, but is no response to it.
            _ => Response::error_page(Status::FORBIDDEN).with_headers(vary),
        },
        Ok(_) if is_publisher => Response::error_page(Status::FORBIDDEN),
        Err(error) if is_publisher => Response::error_page(error.status()),
        Ok(response) => response.to_client().with_headers(vary),
        Err(error) => Response::header_only(error.status(), vary),
    })
}

/// Builds the notices about a streaming subscriber.
pub(in crate::server) fn notices(
    settings: &NchanSettings,
    variables: &RequestVariables<'_>,
    wanted: RequestedAction,
) -> Notices {
    if !matches!(wanted, RequestedAction::Subscribe(mode) if mode.is_stream()) {
        return Notices::default();
    }
    let call = |uri: &Option<Expression>| {
        let values = values(settings, variables, wanted);
        build_hook_call(uri.as_ref()?, variables, &values, &Method::GET, true).ok()
    };
    Notices {
        subscribed: call(&settings.hooks.subscribe),
        unsubscribed: call(&settings.hooks.unsubscribe),
    }
}
