//! The one integration test binary: the built program from outside, over real sockets.
//!
//! Every test starts its own server on a port of its own; `support` holds the harness.

mod around;
mod auth_request;
mod bad_clients;
mod bad_input;
mod basic_auth;
mod batches;
mod bodies;
mod browser;
mod builtin;
mod busy;
mod ceiling;
mod chunked;
#[path = "../cli/mod.rs"]
mod cli;
mod compression;
mod defence;
mod dialects;
mod endings;
mod followers;
mod front;
mod gaps;
mod generated;
mod golden;
mod golden_nchan;
mod hooks;
mod imports;
mod isolation;
mod ledger;
mod lists;
mod log_variables;
mod memory;
mod nchan;
mod nchan_hostile;
mod nginx_requests;
mod pasted;
mod pauses;
mod polled;
mod reload;
mod reload_load;
mod repeated;
mod requests;
mod rewriting;
mod seeds;
mod servers;
mod slow_consumers;
mod support;
mod surroundings;
mod systemd;
mod texts;
mod unenforced;
mod unix_sockets;
mod websockets;
mod wire;
