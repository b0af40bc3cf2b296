//! What stands around an endpoint: who may enter, and the answers of `return`.

use std::sync::Arc;

use super::auth::{Credentials, PasswordCheck};
use super::decision::Again;
use crate::server::config::web::AuthRequest;
use crate::server::config::{Return, Types, Variables, WebSettings};
use crate::server::request::Request;
use crate::server::response::{Response, ResponseBody, Status};

/// Whether a request may enter a location.
pub(super) enum Access {
    Granted,
    Denied(Response),
    /// The password has to be checked first.
    Check(Credentials),
    /// Another location has to be asked first.
    Ask(Arc<AuthRequest>),
}

/// What one kind of rules says of a request.
enum Opinion {
    /// There is no such rule.
    None,
    Allowed,
    /// It is forbidden, or not known who asks (401).
    Rejected(Status, Vec<u8>),
    /// It cannot be decided.
    Failed,
    /// Something has to be found out first.
    Open(Access),
}

/// Decides about a request with what is known of it, in nginx's order: addresses, passwords,
/// `auth_request`.
pub(super) fn access(
    web: &WebSettings,
    request: &Request<'_>,
    variables: &dyn Variables,
    again: &Again,
) -> Access {
    let mut rejection: Option<(Status, Vec<u8>)> = None;
    let opinions: [&dyn Fn() -> Opinion; 3] = [
        &|| by_address(web, request),
        &|| by_password(web, request, variables, again),
        &|| by_request(web, again),
    ];
    for opinion in opinions {
        match opinion() {
            Opinion::None => {}
            Opinion::Allowed if web.satisfy_any => return Access::Granted,
            Opinion::Allowed => {}
            Opinion::Failed => {
                let lines = rejection.map(|(_, lines)| lines).unwrap_or_default();
                return Access::Denied(
                    Response::error_page(Status::INTERNAL)
                        .closing()
                        .with_headers(&lines),
                );
            }
            Opinion::Open(access) => return access,
            Opinion::Rejected(status, lines) if web.satisfy_any => {
                let (known, all) = rejection.get_or_insert((status, Vec::new()));
                all.extend(lines);
                // Who does not say who he is may still be let in.
                if known.0 != 401 {
                    *known = status;
                }
            }
            Opinion::Rejected(status, lines) => return Access::Denied(rejected(status, &lines)),
        }
    }
    rejection.map_or(Access::Granted, |(status, lines)| {
        Access::Denied(rejected(status, &lines))
    })
}

fn rejected(status: Status, lines: &[u8]) -> Response {
    match status.0 {
        401 => {
            Response::titled_error_page(status, "401 Authorization Required").with_headers(lines)
        }
        _ => Response::error_page(status),
    }
}

fn challenge(value: &[u8]) -> Opinion {
    let mut line = Vec::new();
    crate::server::response::push_line(b"WWW-Authenticate: ", value, &mut line);
    Opinion::Rejected(Status(401), line)
}

/// `allow` and `deny`
fn by_address(web: &WebSettings, request: &Request<'_>) -> Opinion {
    match web.allows(&request.endpoints.remote_address) {
        None => Opinion::None,
        Some(true) => Opinion::Allowed,
        Some(false) => Opinion::Rejected(Status::FORBIDDEN, Vec::new()),
    }
}

/// `auth_basic`
fn by_password(
    web: &WebSettings,
    request: &Request<'_>,
    variables: &dyn Variables,
    again: &Again,
) -> Opinion {
    let Some(authentication) = &web.authentication else {
        return Opinion::None;
    };
    let realm = authentication.realm.evaluate(variables);
    if *realm == *b"off" {
        return Opinion::None;
    }
    let header = request.header("authorization");
    let verdict = match Credentials::of(
        header,
        authentication.users.clone(),
        &request.endpoints.remote_address,
    ) {
        None => PasswordCheck::Wrong,
        Some(credentials) => match again
            .verdict(&authentication.users)
            .or_else(|| credentials.known())
        {
            Some(verdict) => verdict,
            None => return Opinion::Open(Access::Check(credentials)),
        },
    };
    match verdict {
        PasswordCheck::Right => Opinion::Allowed,
        PasswordCheck::NoFile => Opinion::Rejected(Status::FORBIDDEN, Vec::new()),
        PasswordCheck::Unreadable => Opinion::Failed,
        PasswordCheck::Wrong => challenge(&[&b"Basic realm=\""[..], &realm, b"\""].concat()),
    }
}

/// `auth_request`
fn by_request(web: &WebSettings, again: &Again) -> Opinion {
    let Some(settings) = &web.auth_request else {
        return Opinion::None;
    };
    let Some(result) = again.inquired(settings) else {
        return Opinion::Open(Access::Ask(Arc::clone(settings)));
    };
    match (result.status, result.challenge()) {
        (200..=299, _) => Opinion::Allowed,
        (401, Some(value)) => challenge(value),
        (401 | 403, _) => Opinion::Rejected(Status(result.status), Vec::new()),
        _ => Opinion::Failed,
    }
}

/// The answer of a `return`; `None` = the connection is closed without one.
pub(super) fn returned(
    answer: &Return,
    request: &Request<'_>,
    types: &Types,
    variables: &dyn Variables,
) -> Option<Response> {
    let text = answer
        .text
        .as_ref()
        .map(|text| text.evaluate(variables).into_owned());
    let response = match (answer.status, text) {
        (444, _) => return None,
        (301 | 302 | 303 | 307 | 308, text) => {
            redirection(answer.status, &text.unwrap_or_default(), request)
        }
        (204 | 304, _) => Response {
            bodiless: true,
            ..Response::header_only(Status(answer.status), &b""[..])
        },
        (status, None) if status >= 400 => error(status),
        (status, text) => {
            let body = ResponseBody::Sized(text.unwrap_or_default().into());
            Response {
                content_type: Some(types.of(&request.path)),
                body,
                ..Response::header_only(Status(status), &b""[..])
            }
        }
    };
    Some(response)
}

/// nginx's page of an error, if it has one.
pub(super) fn error(status: u16) -> Response {
    if Status(status).reason().is_empty() {
        return Response::header_only(Status(status), &b""[..]);
    }
    let page = match status {
        401 => Response::titled_error_page(Status(401), "401 Authorization Required"),
        status => Response::error_page(Status(status)),
    };
    if matches!(status, 400 | 413 | 414 | 500 | 501) {
        page.closing()
    } else {
        page
    }
}

/// A redirection; an address without host is completed as by nginx.
pub(super) fn redirection(status: u16, address: &[u8], request: &Request<'_>) -> Response {
    let mut line = Vec::new();
    let address = if address.starts_with(b"/") {
        [own_address(request).as_bytes(), address].concat()
    } else {
        address.to_vec()
    };
    crate::server::response::push_line(b"Location: ", &address, &mut line);
    let page = match status {
        302 => Response::titled_error_page(Status(302), "302 Found"),
        status => Response::error_page(Status(status)),
    };
    page.with_headers(&line)
}

/// A path as it is written in an address.
pub(super) fn encoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path {
        match byte {
            ..=b' '
            | b'"'
            | b'#'
            | b'%'
            | b'<'
            | b'>'
            | b'?'
            | b'\\'
            | b'^'
            | b'`'
            | b'{'
            | b'|'
            | b'}'
            | 0x7f.. => {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            byte => out.push(*byte),
        }
    }
    out
}

/// Scheme, host and port under which the client came.
fn own_address(request: &Request<'_>) -> String {
    let host = request
        .host()
        .unwrap_or_else(|| request.endpoints.local_address.clone());
    match request.endpoints.local_port {
        0 | 80 => format!("http://{host}"),
        port => format!("http://{host}:{port}"),
    }
}
