//! The raw sockets of `bench`: ten thousand subscribers on one thread, with a few hundred bytes
//! each.
//!
//! One read buffer serves all of them, and only incomplete heads and frame headers are stored.
//! Plain HTTP/1.1 without redirects and proxies, because the server is measured. Messages are not
//! parsed here.

pub mod follow;
pub mod frames;
pub mod publisher;
pub mod response;
mod shared_buffer;
pub mod socket;
pub mod source;
mod target;

pub use shared_buffer::{BUFFER_BYTES, Buffer};
pub use target::Target;
