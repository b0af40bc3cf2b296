//! What stands around an endpoint: who may enter, and the answers of `return`.

use crate::server::config::{Return, Types, Variables, WebSettings};
use crate::server::http::auth::{Credentials, Verdict};
use crate::server::request::Request;
use crate::server::response::{Body, Response, Status};

/// Whether a request may enter a location.
pub(super) enum Access {
    Granted,
    Denied(Response),
    /// The password has to be checked first.
    Check(Box<Credentials>),
}

/// Decides about a request; `checked` is what came of checking its password.
pub(super) fn access(web: &WebSettings, request: &Request<'_>, variables: &dyn Variables, checked: Option<Verdict>) -> Access {
    let web = web.for_method(request.method);
    let by_address = web.allows(&request.endpoints.remote_address);
    match (by_address, web.satisfy_any) {
        (Some(true), true) => return Access::Granted,
        (Some(false), false) => return Access::Denied(Response::error_page(Status::FORBIDDEN)),
        _ => {}
    }
    let authentication = web.authentication.as_ref().map(|known| (known, known.realm.evaluate(variables)));
    let Some((authentication, realm)) = authentication.filter(|(_, realm)| **realm != *b"off") else {
        return if by_address == Some(false) { Access::Denied(Response::error_page(Status::FORBIDDEN)) } else { Access::Granted };
    };
    let credentials = Credentials::of(request.header("authorization"), authentication.users.clone(), &request.endpoints.remote_address);
    let verdict = match credentials {
        None => Verdict::Wrong,
        Some(credentials) => match checked.or_else(|| credentials.known()) {
            Some(verdict) => verdict,
            None => return Access::Check(Box::new(credentials)),
        },
    };
    match verdict {
        Verdict::Right => Access::Granted,
        Verdict::NoFile => Access::Denied(Response::error_page(Status::FORBIDDEN)),
        Verdict::Unreadable => Access::Denied(Response::error_page(Status::INTERNAL).closing()),
        Verdict::Wrong => {
            let mut line = Vec::new();
            let realm = [&b"Basic realm=\""[..], &realm, b"\""].concat();
            crate::server::response::push_line(b"WWW-Authenticate: ", &realm, &mut line);
            Access::Denied(Response::titled_error_page(Status(401), "401 Authorization Required").with_headers(&line))
        }
    }
}

/// The answer of a `return`; `None` = the connection is closed without one.
pub(super) fn returned(answer: &Return, request: &Request<'_>, types: &Types, variables: &dyn Variables) -> Option<Response> {
    let text = answer.text.as_ref().map(|text| text.evaluate(variables).into_owned());
    let response = match (answer.status, text) {
        (444, _) => return None,
        (301 | 302 | 303 | 307 | 308, text) => redirection(answer.status, &text.unwrap_or_default(), request),
        (204, _) => Response { bodiless: true, ..Response::header_only(Status(204), &b""[..]) },
        (status, None) if status >= 400 => error(status),
        (status, text) => {
            let body = Body::Sized(text.unwrap_or_default().into());
            Response { content_type: Some(types.of(&request.path)), body, ..Response::header_only(Status(status), &b""[..]) }
        }
    };
    Some(response)
}

/// nginx's page of an error, if it has one.
fn error(status: u16) -> Response {
    if Status(status).reason().is_empty() {
        return Response::header_only(Status(status), &b""[..]);
    }
    let page = match status {
        401 => Response::titled_error_page(Status(401), "401 Authorization Required"),
        status => Response::error_page(Status(status)),
    };
    if matches!(status, 400 | 413 | 414 | 500 | 501) { page.closing() } else { page }
}

/// A redirection; an address without host is completed as by nginx.
pub(super) fn redirection(status: u16, address: &[u8], request: &Request<'_>) -> Response {
    let mut line = Vec::new();
    let address = if address.starts_with(b"/") { [own_address(request).as_bytes(), address].concat() } else { address.to_vec() };
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
            ..=b' ' | b'"' | b'#' | b'%' | b'<' | b'>' | b'?' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x7f.. => {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            byte => out.push(*byte),
        }
    }
    out
}

/// Scheme, host and port under which the client came.
fn own_address(request: &Request<'_>) -> String {
    let host = request.host().unwrap_or_else(|| request.endpoints.local_address.clone());
    match request.endpoints.local_port {
        0 | 80 => format!("http://{host}"),
        port => format!("http://{host}:{port}"),
    }
}
