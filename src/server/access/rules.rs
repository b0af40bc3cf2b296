//! Access rules of a location: addresses (`allow`, `deny`), passwords (`auth_basic`) and
//! `auth_request`.

use super::basic_auth::{Credentials, PasswordCheck, PendingCheck};
use crate::server::config::expression::reads::record_until;
use crate::server::config::{Variables, WebSettings};
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{HeaderList, Response, Status};

/// Whether a request may enter a location.
pub(in crate::server) enum Access {
    Granted,
    Denied(Response),
}

/// Result of one kind of rule.
pub(in crate::server) enum RuleResult {
    /// The location has no such rule.
    NoRule,
    Allowed,
    /// Status and headers of the rejection; 401 asks for credentials.
    Rejected(Status, HeaderList),
    /// The rule cannot be evaluated.
    Failed,
}

/// The results of the rules so far.
pub(in crate::server) struct Verdict {
    /// One kind of rule that allows the request is enough (`satisfy any`).
    satisfy_any: bool,
    rejection: Option<(Status, HeaderList)>,
}

/// A password that was not checked yet.
pub(in crate::server) struct UncheckedPassword {
    check: PendingCheck,
    realm: Vec<u8>,
}

impl Access {
    /// The rules cannot be evaluated.
    pub(in crate::server) fn failed() -> Self {
        Self::Denied(Response::error_page(Status::INTERNAL).closing())
    }
}

impl Verdict {
    pub(in crate::server) fn new(satisfy_any: bool) -> Self {
        Self {
            satisfy_any,
            rejection: None,
        }
    }

    /// Applies the next rule; returns the decision, if further rules do not matter.
    pub(in crate::server) fn apply(&mut self, result: RuleResult) -> Option<Access> {
        match result {
            RuleResult::NoRule => None,
            RuleResult::Allowed => self.satisfy_any.then_some(Access::Granted),
            RuleResult::Failed => {
                let headers = self.rejection.take().map(|(_, headers)| headers);
                Some(Access::Denied(
                    Response::error_page(Status::INTERNAL)
                        .closing()
                        .with_headers(&headers.unwrap_or_default()),
                ))
            }
            RuleResult::Rejected(status, headers) if self.satisfy_any => {
                let (first, all) = self
                    .rejection
                    .get_or_insert((status, HeaderList::default()));
                all.extend(&headers);
                // 401 takes precedence: with credentials the client may still be admitted.
                if first.0 != 401 {
                    *first = status;
                }
                None
            }
            RuleResult::Rejected(status, headers) => {
                Some(Access::Denied(render_rejection(status, &headers)))
            }
        }
    }

    /// Returns the decision after the last rule.
    pub(in crate::server) fn end(self) -> Access {
        self.rejection.map_or(Access::Granted, |(status, headers)| {
            Access::Denied(render_rejection(status, &headers))
        })
    }
}

fn render_rejection(status: Status, headers: &HeaderList) -> Response {
    match status.0 {
        401 => {
            Response::titled_error_page(status, "401 Authorization Required").with_headers(headers)
        }
        _ => Response::error_page(status),
    }
}

/// Rejects with 401 and a `WWW-Authenticate` header.
fn challenge(value: &[u8]) -> RuleResult {
    RuleResult::Rejected(Status(401), HeaderList::of("WWW-Authenticate", value))
}

/// `allow` and `deny`
pub(in crate::server) fn check_address(web: &WebSettings, request: &Request<'_>) -> RuleResult {
    match web.allows(&request.endpoints.remote_address) {
        None => RuleResult::NoRule,
        Some(true) => RuleResult::Allowed,
        Some(false) => RuleResult::Rejected(Status::FORBIDDEN, HeaderList::default()),
    }
}

/// `auth_basic`
///
/// # Errors
/// The password must be checked first: its result is not cached.
pub(in crate::server) fn check_password(
    web: &WebSettings,
    request: &Request<'_>,
    variables: &dyn Variables,
) -> Result<RuleResult, UncheckedPassword> {
    let Some(authentication) = &web.authentication else {
        return Ok(RuleResult::NoRule);
    };
    let realm = authentication.realm.evaluate(variables);
    if *realm == *b"off" {
        return Ok(RuleResult::NoRule);
    }
    let header = request.header("authorization");
    let client = &request.endpoints.remote_address;
    let Some(credentials) = Credentials::of(header, &authentication.users, client) else {
        return Ok(password_result(PasswordCheck::Wrong, &realm));
    };
    match credentials.cached() {
        Ok((result, until)) => {
            record_until(until);
            Ok(password_result(result, &realm))
        }
        Err(check) => Err(UncheckedPassword {
            check,
            realm: realm.into_owned(),
        }),
    }
}

impl UncheckedPassword {
    /// Checks the password.
    pub(in crate::server) async fn check(self) -> RuleResult {
        password_result(self.check.run().await, &self.realm)
    }
}

fn password_result(result: PasswordCheck, realm: &[u8]) -> RuleResult {
    match result {
        PasswordCheck::Right => RuleResult::Allowed,
        PasswordCheck::NoFile => RuleResult::Rejected(Status::FORBIDDEN, HeaderList::default()),
        PasswordCheck::Unreadable => RuleResult::Failed,
        PasswordCheck::Wrong => challenge(&[&b"Basic realm=\""[..], realm, b"\""].concat()),
    }
}

/// `auth_request`: the result of a response with this status and `WWW-Authenticate` header.
pub(in crate::server) fn auth_request_result(
    status: u16,
    authenticate: Option<&[u8]>,
) -> RuleResult {
    match (status, authenticate) {
        (200..=299, _) => RuleResult::Allowed,
        (401, Some(value)) => challenge(value),
        (401 | 403, _) => RuleResult::Rejected(Status(status), HeaderList::default()),
        _ => RuleResult::Failed,
    }
}
