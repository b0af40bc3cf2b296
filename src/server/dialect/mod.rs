//! The dialects: status codes, header spellings, bodies and cursor syntax of each protocol. No
//! sockets.
//!
//! A location has one: its [`Endpoint`](super::config::Endpoint) says which. `publisher` and
//! `subscriber` ask the broker and let the dialect of the location say what that comes to. The
//! broker counts messages in two ways (positions of the whole server, tags of each channel), so
//! that every dialect sees the same channel in its own terms.

pub mod channel_key;
pub mod nchan;
pub mod nhpm;
pub mod push_stream;
