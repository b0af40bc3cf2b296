//! Responses of hooks, from a back-end or a `return`, and the parts that are sent to the client.

use std::sync::Arc;

use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use super::backend_connection::RawHeader;
use crate::server::config::model::proxy::ResponseHeaders;
use crate::server::exchange::response::{
    AddedHeaders, HeaderList, HeaderListBuilder, Response, ResponseBody, Status,
};

/// Response of a hook.
#[derive(Clone, Debug)]
pub(in crate::server) struct HookResponse {
    pub(in crate::server) status: u16,
    pub(in crate::server) headers: HeaderMap,
    /// The headers as the back-end spells them.
    pub(in crate::server) raw_headers: Vec<RawHeader>,
    pub(in crate::server) body: Bytes,
    /// Settings of its location for headers.
    pub(in crate::server) response_headers: Arc<ResponseHeaders>,
    /// The response of a `return`; `None` if it came from a back-end.
    pub(in crate::server) returned: Option<ReturnedResponse>,
}

/// The response of a `return`.
#[derive(Clone, Debug)]
pub(in crate::server) struct ReturnedResponse {
    pub(in crate::server) status: u16,
    /// `None` if the connection is closed without a response (444).
    pub(in crate::server) response: Option<Response>,
    /// It has a text, and is not a page of nginx.
    pub(in crate::server) has_text: bool,
}

/// Headers of a single connection (RFC 9110, section 7.6.1), and headers that pushctl writes
/// itself.
const OWN_HEADERS: [&str; 10] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "proxy-connection",
    "server",
    "te",
    "transfer-encoding",
    "upgrade",
];

impl HookResponse {
    /// The response of a location with `return`.
    pub(in crate::server) fn of_return(returned: ReturnedResponse) -> Self {
        Self {
            status: returned.status,
            headers: HeaderMap::new(),
            raw_headers: Vec::new(),
            body: Bytes::new(),
            response_headers: Arc::default(),
            returned: Some(returned),
        }
    }

    /// Returns whether `X-Accel-Redirect` is treated like any other header.
    pub(in crate::server) fn ignores_redirect(&self) -> bool {
        self.response_headers.ignores_redirect
    }

    /// Returns whether its connection can be reused. A server that announces a body where there
    /// must be none may send it.
    pub(in crate::server) fn ends_where_expected(&self) -> bool {
        let has_no_body = matches!(self.status, 204 | 304);
        let announces_body = self.header("transfer-encoding").is_some()
            || self
                .header("content-length")
                .is_some_and(|length| length != b"0");
        !(has_no_body && announces_body)
    }

    /// The value of a header.
    pub(in crate::server) fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name).map(HeaderValue::as_bytes)
    }

    /// Its content type.
    pub(in crate::server) fn content_type(&self) -> Option<Bytes> {
        self.headers
            .get(CONTENT_TYPE)
            .map(|value| Bytes::copy_from_slice(value.as_bytes()))
    }

    /// Renders the response for the client.
    pub(in crate::server) fn to_client(&self) -> Response {
        if let Some(ReturnedResponse {
            response: Some(response),
            ..
        }) = &self.returned
        {
            return response.clone();
        }
        let mut headers = HeaderListBuilder::default();
        for RawHeader { name, value } in self.for_client() {
            headers.push(name, value);
        }
        let body = match self.status {
            204 => ResponseBody::None,
            _ => ResponseBody::Sized(self.body.clone()),
        };
        Response::header_only(Status(self.status), headers.build())
            .with_content_type(self.content_type())
            .with_body(body)
    }

    /// Returns the headers for the client, in their order.
    fn for_client(&self) -> impl Iterator<Item = &RawHeader> {
        let ResponseHeaders { hidden, passed, .. } = &*self.response_headers;
        self.raw_headers.iter().filter(move |header| {
            let name = header.name.to_ascii_lowercase();
            let is_own = OWN_HEADERS.contains(&name.as_str());
            let is_internal = name.starts_with("x-accel-") || name == "x-pad";
            !is_own && (!is_internal || passed.contains(&name)) && !hidden.contains(&name)
        })
    }

    /// Returns the headers that nginx keeps when the response redirects to another location
    /// (`X-Accel-Redirect`).
    pub(in crate::server) fn kept(&self) -> KeptHeaders {
        const KEPT: [&str; 5] = [
            "set-cookie",
            "content-disposition",
            "cache-control",
            "expires",
            "accept-ranges",
        ];
        let mut headers = HeaderListBuilder::default();
        for RawHeader { name, value } in self
            .raw_headers
            .iter()
            .filter(|header| KEPT.contains(&header.name.to_ascii_lowercase().as_str()))
        {
            headers.push(name, value);
        }
        KeptHeaders {
            headers: headers.build(),
            content_type: self.content_type(),
        }
    }
}

/// Headers of a back-end that are added to the response of another location.
#[derive(Debug)]
pub(in crate::server) struct KeptHeaders {
    /// For every response.
    headers: HeaderList,
    /// For a response without a content type.
    content_type: Option<Bytes>,
}

impl KeptHeaders {
    /// Inserts the headers before those of the location.
    pub(in crate::server) fn add_to(&self, added: &mut AddedHeaders) {
        added.insert(&self.headers);
    }

    /// Sets the content type of a response that has none.
    pub(in crate::server) fn complete(&self, response: &mut Response) {
        let content_type = &mut response.head.content_type;
        if response.body != ResponseBody::None && content_type.is_none() {
            content_type.clone_from(&self.content_type);
        }
    }
}

/// Parses a header; `None` if its name or value is invalid.
pub(in crate::server) fn parse_header(
    name: &[u8],
    value: &[u8],
) -> Option<(HeaderName, HeaderValue)> {
    Some((
        HeaderName::from_bytes(name).ok()?,
        HeaderValue::from_bytes(value).ok()?,
    ))
}

/// Returns whether a header of the client is passed to the back-end. As in nginx, a name with an
/// underscore is not: CGI cannot distinguish it from one with a hyphen, which `proxy_set_header`
/// may have set.
pub(in crate::server) fn is_passed(name: &str) -> bool {
    let is_own = OWN_HEADERS
        .iter()
        .any(|own| *own != "content-type" && *own != "date" && own.eq_ignore_ascii_case(name));
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_plain
        && !is_own
        && !name.eq_ignore_ascii_case("host")
        && !name.eq_ignore_ascii_case("expect")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_with_an_announced_body_where_none_is_allowed_is_not_reused() {
        for (status, name, value, expected) in [
            (204, "content-length", "0", true),
            (204, "x", "y", true),
            (204, "content-length", "5", false),
            (304, "transfer-encoding", "chunked", false),
            (200, "content-length", "5", true),
        ] {
            let headers = parse_header(name.as_bytes(), value.as_bytes())
                .into_iter()
                .collect();
            let response = HookResponse {
                status,
                headers,
                raw_headers: Vec::new(),
                body: Bytes::new(),
                response_headers: Arc::default(),
                returned: None,
            };
            assert_eq!(
                response.ends_where_expected(),
                expected,
                "{status} {name}: {value}"
            );
        }
    }
}
