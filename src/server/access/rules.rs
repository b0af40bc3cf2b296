//! Access rules of a location: addresses (`allow`, `deny`), passwords (`auth_basic`) and
//! `auth_request`.

use std::sync::Arc;

use super::basic_auth::{Credentials, PasswordCheck};
use crate::server::config::model::web::AuthRequest;
use crate::server::config::{Variables, WebSettings};
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{Response, Status, push_line};
use crate::server::http::route::pending_check::RoutingState;

/// Whether a request may enter a location.
pub(in crate::server) enum Access {
    Granted,
    Denied(Response),
    /// The password must be checked first.
    CheckPassword(Credentials),
    /// The request of `auth_request` must be made first.
    AuthRequest(Arc<AuthRequest>),
}

/// Result of one kind of rule.
enum RuleResult {
    /// The location has no such rule.
    NoRule,
    Allowed,
    /// Status and header lines of the rejection; 401 asks for credentials.
    Rejected(Status, Vec<u8>),
    /// The rule cannot be evaluated.
    Failed,
    /// A check must run first.
    Pending(Access),
}

/// Applies the rules in nginx's order: addresses, passwords, `auth_request`. `state` has the
/// results of checks that were run in earlier routing passes.
pub(in crate::server) fn check(
    web: &WebSettings,
    request: &Request<'_>,
    variables: &dyn Variables,
    state: &RoutingState,
) -> Access {
    let mut rejection: Option<(Status, Vec<u8>)> = None;
    let rules: [&dyn Fn() -> RuleResult; 3] = [
        &|| check_address(web, request),
        &|| check_password(web, request, variables, state),
        &|| check_auth_request(web, state),
    ];
    for rule in rules {
        match rule() {
            RuleResult::NoRule => {}
            RuleResult::Allowed if web.satisfy_any => return Access::Granted,
            RuleResult::Allowed => {}
            RuleResult::Failed => {
                let lines = rejection.map(|(_, lines)| lines).unwrap_or_default();
                return Access::Denied(
                    Response::error_page(Status::INTERNAL)
                        .closing()
                        .with_headers(&lines),
                );
            }
            RuleResult::Pending(access) => return access,
            RuleResult::Rejected(status, lines) if web.satisfy_any => {
                let (first, all) = rejection.get_or_insert((status, Vec::new()));
                all.extend(lines);
                // 401 takes precedence: with credentials the client may still be admitted.
                if first.0 != 401 {
                    *first = status;
                }
            }
            RuleResult::Rejected(status, lines) => {
                return Access::Denied(render_rejection(status, &lines));
            }
        }
    }
    rejection.map_or(Access::Granted, |(status, lines)| {
        Access::Denied(render_rejection(status, &lines))
    })
}

fn render_rejection(status: Status, lines: &[u8]) -> Response {
    match status.0 {
        401 => {
            Response::titled_error_page(status, "401 Authorization Required").with_headers(lines)
        }
        _ => Response::error_page(status),
    }
}

/// Rejects with 401 and a `WWW-Authenticate` header.
fn challenge(value: &[u8]) -> RuleResult {
    let mut line = Vec::new();
    push_line(b"WWW-Authenticate: ", value, &mut line);
    RuleResult::Rejected(Status(401), line)
}

/// `allow` and `deny`
fn check_address(web: &WebSettings, request: &Request<'_>) -> RuleResult {
    match web.allows(&request.endpoints.remote_address) {
        None => RuleResult::NoRule,
        Some(true) => RuleResult::Allowed,
        Some(false) => RuleResult::Rejected(Status::FORBIDDEN, Vec::new()),
    }
}

/// `auth_basic`
fn check_password(
    web: &WebSettings,
    request: &Request<'_>,
    variables: &dyn Variables,
    state: &RoutingState,
) -> RuleResult {
    let Some(authentication) = &web.authentication else {
        return RuleResult::NoRule;
    };
    let realm = authentication.realm.evaluate(variables);
    if *realm == *b"off" {
        return RuleResult::NoRule;
    }
    let header = request.header("authorization");
    let result = match Credentials::of(
        header,
        authentication.users.clone(),
        &request.endpoints.remote_address,
    ) {
        None => PasswordCheck::Wrong,
        Some(credentials) => match state
            .password_check(&authentication.users)
            .or_else(|| credentials.cached())
        {
            Some(result) => result,
            None => return RuleResult::Pending(Access::CheckPassword(credentials)),
        },
    };
    match result {
        PasswordCheck::Right => RuleResult::Allowed,
        PasswordCheck::NoFile => RuleResult::Rejected(Status::FORBIDDEN, Vec::new()),
        PasswordCheck::Unreadable => RuleResult::Failed,
        PasswordCheck::Wrong => challenge(&[&b"Basic realm=\""[..], &realm, b"\""].concat()),
    }
}

/// `auth_request`
fn check_auth_request(web: &WebSettings, state: &RoutingState) -> RuleResult {
    let Some(settings) = &web.auth_request else {
        return RuleResult::NoRule;
    };
    let Some(result) = state.auth_result(settings) else {
        return RuleResult::Pending(Access::AuthRequest(Arc::clone(settings)));
    };
    match (result.status, result.challenge()) {
        (200..=299, _) => RuleResult::Allowed,
        (401, Some(value)) => challenge(value),
        (401 | 403, _) => RuleResult::Rejected(Status(result.status), Vec::new()),
        _ => RuleResult::Failed,
    }
}
