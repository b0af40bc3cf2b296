//! What the endpoints of all protocol families share: the call of a request at a location, formats
//! of followers, websocket frames.

pub(in crate::server) mod formats;
pub mod notation;
pub(in crate::server) mod one_shot;
pub mod outcome;
mod publish_call;
mod subscribe_call;
pub mod websocket_frame;
pub(in crate::server) mod websocket_handshake;
pub mod websocket_input;

pub use outcome::{PendingPublish, PublishOutcome};
pub use publish_call::{PublishCall, PublishReply};
pub use subscribe_call::{RejectedWebSocket, SubscribeCall, SubscribeReply};
