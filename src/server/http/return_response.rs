//! Responses of `return` and `rewrite`: texts, nginx's error pages and redirections.

use crate::server::config::{Return, Types, Variables};
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{HeaderList, Response, ResponseBody, Status};

/// Renders the response of a `return`; `None` if the connection is closed without one (444).
pub(in crate::server) fn render(
    directive: &Return,
    request: &Request<'_>,
    types: &Types,
    variables: &dyn Variables,
) -> Option<Response> {
    let text = directive
        .text
        .as_ref()
        .map(|text| text.evaluate(variables).into_owned());
    let response = match (directive.status, text) {
        (444, _) => return None,
        (301 | 302 | 303 | 307 | 308, text) => {
            redirection(directive.status, &text.unwrap_or_default(), request)
        }
        (204 | 304, _) => Response::bodiless(Status(directive.status), HeaderList::default()),
        (status, None) if status >= 400 => error(status),
        (status, text) => {
            let body = ResponseBody::Sized(text.unwrap_or_default().into());
            Response::header_only(Status(status), HeaderList::default())
                .with_content_type(Some(types.of(&request.path)))
                .with_body(body)
        }
    };
    Some(response)
}

/// Renders nginx's error page for a status; without a body where nginx has no page.
pub(in crate::server) fn error(status: u16) -> Response {
    if Status(status).reason().is_empty() {
        return Response::header_only(Status(status), HeaderList::default());
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

/// Renders a redirection. An address that is only a path is completed with the host, as in nginx.
pub(in crate::server) fn redirection(
    status: u16,
    address: &[u8],
    request: &Request<'_>,
) -> Response {
    let address = if address.starts_with(b"/") {
        [own_address(request).as_bytes(), address].concat()
    } else {
        address.to_vec()
    };
    let page = match status {
        302 => Response::titled_error_page(Status(302), "302 Found"),
        status => Response::error_page(Status(status)),
    };
    page.with_headers(&HeaderList::of("Location", address))
}

/// Percent-encodes a path for an address.
pub(in crate::server) fn encode_path(path: &[u8]) -> Vec<u8> {
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

/// Scheme, host and port of this server as the client used them.
fn own_address(request: &Request<'_>) -> String {
    let host = request
        .host()
        .unwrap_or_else(|| request.endpoints.local_address.clone());
    match request.endpoints.local_port {
        0 | 80 => format!("http://{host}"),
        port => format!("http://{host}:{port}"),
    }
}
