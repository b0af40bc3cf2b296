//! A request that owns its head, for work that waits: the body can be read into the buffer of the
//! connection.

use std::borrow::Cow;
use std::ops::Range;

use super::request::{Endpoints, Request, RequestHeader};

/// A copy of a request.
pub(in crate::server) struct OwnedRequest {
    /// The method, and the names of the headers.
    names: String,
    /// All other parts.
    bytes: Vec<u8>,
    method: Range<usize>,
    target: Range<usize>,
    unparsed_uri: Range<usize>,
    path: Range<usize>,
    query: Range<usize>,
    host_name: Option<Range<usize>>,
    joined_cookie: Option<Range<usize>>,
    joined_forwarded_for: Option<Range<usize>>,
    headers: Box<[HeaderRanges]>,
    minor_version: u8,
    head_bytes: usize,
    without_chunks: bool,
    keep_alive: bool,
    endpoints: Endpoints,
}

struct HeaderRanges {
    /// In `names`.
    name: Range<usize>,
    /// In `bytes`.
    value: Range<usize>,
}

impl OwnedRequest {
    /// Copies a request.
    #[must_use]
    pub(in crate::server) fn of(request: &Request<'_>) -> Self {
        let mut names = String::with_capacity(request.head_bytes / 2);
        let mut bytes = Vec::with_capacity(2 * request.head_bytes);
        let mut push = |part: &[u8]| {
            bytes.extend_from_slice(part);
            bytes.len() - part.len()..bytes.len()
        };
        let mut push_name = |name: &str| {
            names.push_str(name);
            names.len() - name.len()..names.len()
        };
        Self {
            method: push_name(request.method),
            target: push(request.target),
            unparsed_uri: push(request.unparsed_uri),
            path: push(&request.path),
            query: push(request.query),
            host_name: request.host_name.map(&mut push),
            joined_cookie: request.joined_cookie.map(&mut push),
            joined_forwarded_for: request.joined_forwarded_for.map(&mut push),
            headers: request
                .headers
                .iter()
                .map(|header| HeaderRanges {
                    name: push_name(header.name),
                    value: push(header.value),
                })
                .collect(),
            minor_version: request.minor_version,
            head_bytes: request.head_bytes,
            without_chunks: request.without_chunks,
            keep_alive: request.keep_alive,
            endpoints: request.endpoints.clone(),
            names,
            bytes,
        }
    }

    /// Bytes of heap memory for the head.
    #[must_use]
    pub(in crate::server) fn own_bytes(&self) -> usize {
        self.names.capacity() + self.bytes.capacity() + size_of_val(&*self.headers)
    }

    /// The headers, in their order.
    #[must_use]
    pub(in crate::server) fn headers(&self) -> Vec<RequestHeader<'_>> {
        self.headers
            .iter()
            .map(|header| RequestHeader {
                name: &self.names[header.name.clone()],
                value: &self.bytes[header.value.clone()],
            })
            .collect()
    }

    /// The request, with its [`headers`](Self::headers).
    #[must_use]
    pub(in crate::server) fn request<'a>(
        &'a self,
        headers: &'a [RequestHeader<'a>],
    ) -> Request<'a> {
        let part = |range: &Range<usize>| &self.bytes[range.clone()];
        Request {
            method: &self.names[self.method.clone()],
            target: part(&self.target),
            unparsed_uri: part(&self.unparsed_uri),
            path: Cow::Borrowed(part(&self.path)),
            query: part(&self.query),
            minor_version: self.minor_version,
            headers,
            joined_cookie: self.joined_cookie.as_ref().map(part),
            joined_forwarded_for: self.joined_forwarded_for.as_ref().map(part),
            host_name: self.host_name.as_ref().map(part),
            head_bytes: self.head_bytes,
            without_chunks: self.without_chunks,
            keep_alive: self.keep_alive,
            endpoints: &self.endpoints,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_request() {
        let headers = [
            RequestHeader {
                name: "Host",
                value: b"a:80",
            },
            RequestHeader {
                name: "X-Raw",
                value: b"\xff",
            },
        ];
        let endpoints = Endpoints {
            remote_address: "192.0.2.1".to_owned(),
            requests: 3,
            ..Endpoints::default()
        };
        let request = Request {
            method: "POST",
            target: b"http://a/%61?b=c#d",
            unparsed_uri: b"/%61?b=c#d",
            path: Cow::Owned(b"/a".to_vec()),
            query: b"b=c",
            minor_version: 1,
            headers: &headers,
            joined_cookie: Some(b"a=1; b=2"),
            joined_forwarded_for: None,
            host_name: Some(b"a"),
            head_bytes: 60,
            without_chunks: false,
            keep_alive: true,
            endpoints: &endpoints,
        };
        let owned = OwnedRequest::of(&request);
        let headers = owned.headers();
        let expected = format!("{request:?}");
        assert_eq!(format!("{:?}", owned.request(&headers)), expected);
    }
}
