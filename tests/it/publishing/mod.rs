//! Publishing: acknowledgement, request bodies and their framing, batches, pipelined and repeated
//! requests, and how message texts arrive.

mod acknowledgement;
mod batch_errors;
mod batches;
mod bodies;
mod chunked_bodies;
mod message_texts;
mod publish_pipelining;
mod publish_replay;
mod replayed_requests;
