//! The load generator: subscribers that count and check messages, and publishers on kept
//! connections. One thread and one epoll set without a runtime, so that its cost is small compared
//! with the server's.

mod engine;
mod publisher;
mod subscriber;
mod tally;

use std::net::SocketAddrV4;
use std::time::Duration;

pub use engine::Load;
pub use tally::Tally;

use crate::server::{Kind, Server};

/// Delivery mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// An endless chunked response.
    Stream,
    /// EventSource.
    #[value(alias = "ev")]
    Sse,
    /// WebSocket.
    Ws,
    /// Long-polling.
    Lp,
}

impl Mode {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "streaming",
            Self::Sse => "EventSource",
            Self::Ws => "WebSocket",
            Self::Lp => "long-polling",
        }
    }

    /// The subscriber path of a server; `{ch}` is replaced by the channel.
    #[must_use]
    pub fn path(self, kind: Kind) -> &'static str {
        match (kind, self) {
            (Kind::Nchan, _) => "/sub/{ch}",
            (Kind::Pushctl, Self::Stream) => "/sub/{ch}",
            (Kind::Pushctl, Self::Sse) => "/ev/{ch}",
            (Kind::Pushctl, Self::Ws) => "/ws/{ch}",
            (Kind::Pushctl, Self::Lp) => "/lp/{ch}",
        }
    }
}

/// The load to generate.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub address: SocketAddrV4,
    /// The modes with their paths; subscribers use them in turn.
    pub modes: Vec<(Mode, String)>,
    /// The publisher path; `{ch}` is replaced by the channel.
    pub publish_path: String,
    /// Further header lines of every request, each with its line end.
    pub headers: String,
    /// Prefix of channel names; the number follows.
    pub channel: String,
    /// Subscribers.
    pub subscribers: usize,
    /// How many of them never read, and reconnect when they are disconnected.
    pub stuck: usize,
    /// Channels; subscribers and messages use them in turn.
    pub channels: usize,
    /// Publishers, each with one request in flight.
    pub publishers: usize,
    /// Size of a message in bytes.
    pub size: usize,
    /// Messages per request, as NDJSON; 0 means that a message is a body.
    pub batch: usize,
    /// Number of messages, published before a subscriber connects, that it receives.
    pub backlog: u64,
}

impl Plan {
    /// The plan of most benches: 1,000 subscribers of one channel, messages of 100 bytes.
    #[must_use]
    pub fn new(server: &Server, mode: Mode) -> Self {
        Self {
            address: server.address,
            modes: vec![(mode, mode.path(server.kind).to_owned())],
            publish_path: "/pub?id={ch}".to_owned(),
            headers: String::new(),
            channel: "ch".to_owned(),
            subscribers: 1000,
            stuck: 0,
            channels: 1,
            publishers: 1,
            size: 100,
            batch: 0,
            backlog: 0,
        }
    }
}

/// When the next message is published.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// When fewer than this many messages are in flight, and a publisher is free.
    Window(u64),
    /// At this rate; the latency of a message includes its delay.
    Rate(f64),
}

/// When publishing ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this number of messages.
    Messages(u64),
    /// After this time.
    Elapsed(Duration),
}
