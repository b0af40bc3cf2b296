//! HTTP/1.x on the wire: heads, targets, header rules and chunked bodies of requests,
//! and responses.

pub(in crate::server) mod chunked_body;
pub(in crate::server) mod head;
pub(in crate::server) mod headers;
pub(in crate::server::http) mod response;
pub(in crate::server) mod response_writer;
