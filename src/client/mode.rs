//! The delivery modes.

/// Delivery mode of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Long-polling: one request per batch of messages.
    Lp,
    /// WebSocket.
    Ws,
    /// EventSource (server-sent events).
    Ev,
    /// One endless response.
    Stream,
    /// One request per interval.
    Poll,
}
