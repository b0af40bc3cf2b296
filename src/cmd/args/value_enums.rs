//! The words of the command line for enums of the client.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::client::{Dialect, Mode};

impl ValueEnum for Mode {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Lp, Self::Ws, Self::Ev, Self::Stream, Self::Poll]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (word, help) = match self {
            Self::Lp => ("lp", "Long-polling: one request per batch of messages"),
            Self::Ws => ("ws", "WebSocket"),
            Self::Ev => ("ev", "EventSource (server-sent events)"),
            Self::Stream => ("stream", "One endless response"),
            Self::Poll => ("poll", "One request per interval"),
        };
        Some(PossibleValue::new(word).help(help))
    }
}

impl ValueEnum for Dialect {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::PushStream, Self::Nhpm, Self::Nchan]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (word, help) = match self {
            Self::PushStream => (
                "push-stream",
                "nginx-push-stream-module, and the built-in locations of pushctl",
            ),
            Self::Nhpm => (
                "nhpm",
                "nginx_http_push_module (NHPM): long-polling and polling",
            ),
            Self::Nchan => ("nchan", "nchan"),
        };
        Some(PossibleValue::new(word).help(help))
    }
}
