//! The protocol families: status codes, header spellings, bodies and cursor syntax of each. No
//! sockets.
//!
//! The [`Endpoint`](super::config::Endpoint) of a location selects its dialect. `publisher` and
//! `subscriber` query the broker and render the result in that dialect. The broker numbers messages
//! twice, by position in the whole server and by tag within their channel, so that each dialect can
//! describe the same channel in its own terms.
