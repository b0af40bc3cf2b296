//! Wire compatibility: the recorded exchanges of nginx-push-stream-module, NHPM and nchan, exact
//! responses, and cases that the recordings do not cover.

mod channel_ids;
mod dialect_errors;
mod dialects;
mod golden_nchan;
mod golden_push_stream;
mod nchan;
mod nchan_back_ends;
mod nchan_compression;
mod nchan_edge_cases;
mod pipelining;
mod requests;
mod wire;
