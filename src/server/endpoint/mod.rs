//! What the endpoints of all protocol families share: the call of a request at a location, formats of
//! followers, websocket frames.

pub(in crate::server) mod formats;
pub mod websocket_frame;
