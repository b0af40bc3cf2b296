//! The dialects: what the protocols that we speak make of a request.

pub mod push_stream;
