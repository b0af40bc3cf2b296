//! The one integration test binary: the built program from outside, over real sockets.
//!
//! Every test starts its own server on a port of its own; `support` holds the harness.

mod bad_clients;
mod bad_input;
mod endings;
mod golden;
mod imports;
mod ledger;
mod seeds;
mod support;
mod texts;
mod wire;
