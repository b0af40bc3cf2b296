//! Statistics and channel infos: requests and parsing.
//!
//! Responses are the JSON of the protocol (push-stream.md, sections 5 and 6), or the plain text of
//! nchan's `nchan_stub_status`, which is first converted to the same JSON. Numbers under unknown
//! names are kept as details.

mod json;
mod report;
mod request;
pub mod unframed_info;

pub use json::{one_line, with_channels};
pub use report::{ChannelInfo, Details, Report, Summary, WorkerCounters};
pub use request::{StatisticsResponse, fetch, request_statistics};

#[cfg(test)]
mod tests;
