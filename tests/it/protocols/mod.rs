//! Wire compatibility: the recorded exchanges of nginx-push-stream-module, NHPM and nchan, responses
//! byte by byte, and what the recordings do not cover.

mod channel_ids;
mod dialects;
mod golden_nchan;
mod golden_push_stream;
mod nchan;
mod nchan_compression;
mod nchan_edge_cases;
mod requests;
mod wire;
