//! The one integration test binary: the built program from outside, over real sockets.
//!
//! Every test starts its own server on its own port; `support` holds the harness.

mod access;
mod cli;
mod configuration;
mod limits;
mod operations;
mod project;
mod protocols;
mod publishing;
mod subscribing;
mod support;
mod upstreams;
