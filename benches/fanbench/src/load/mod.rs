//! The load generator: subscribers that count and check what comes, and publishers on kept
//! connections. One thread, one epoll set, no runtime, so that it costs little beside the server.

mod engine;
mod publisher;
mod subscriber;
mod tally;

use std::net::SocketAddrV4;
use std::time::Duration;

pub use engine::Load;
pub use tally::Tally;

use crate::server::{Kind, Server};

/// How subscribers get their messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Chunks without end.
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

    /// The subscriber location of a server; `{ch}` stands for the channel.
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

/// What is to be generated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub address: SocketAddrV4,
    /// The modes, and their paths; subscribers take turns.
    pub modes: Vec<(Mode, String)>,
    /// Where to publish; `{ch}` stands for the channel.
    pub publish_path: String,
    /// Further header lines of every request, each with its line end.
    pub headers: String,
    /// Channel names begin so; the number follows.
    pub channel: String,
    /// Subscribers.
    pub subscribers: usize,
    /// How many of them never read what comes, and come again when they are dropped.
    pub stuck: usize,
    /// Channels; subscribers and messages take turns.
    pub channels: usize,
    /// Publishers, each with one request at a time.
    pub publishers: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Messages per request, as NDJSON; 0 = one message is one body.
    pub batch: usize,
    /// So many of the messages that were published before a subscriber came are sent to it.
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
    /// When fewer than so many messages are under way, and a publisher is free.
    Window(u64),
    /// So many per second, whatever becomes of them; a message is late from when it was due.
    Rate(f64),
}

/// When publishing ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many messages.
    Messages(u64),
    /// After this time.
    Elapsed(Duration),
}
