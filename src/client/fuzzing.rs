//! Server responses without a server, for the targets in `fuzz/`. Compiled for fuzzing only.

use std::convert::Infallible;

use axum::http::Response;
use futures_util::stream;
use reqwest::{Body, Url};

use super::message::{MAX_MESSAGE_BYTES, Message};
use super::transport::{ev, lp, stream as streaming};

/// The kind of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// An event stream.
    EventSource,
    /// A streaming response.
    Streaming,
    /// A poll response.
    LongPolling,
    /// Several messages of nchan in one poll response.
    Multipart,
    /// nchan's multipart stream.
    Parts,
    /// nchan's stream of lines.
    Lines,
}

impl ResponseKind {
    fn content_type(self) -> &'static str {
        match self {
            Self::EventSource => "text/event-stream",
            Self::Multipart | Self::Parts => "multipart/mixed; boundary=b",
            Self::Streaming | Self::LongPolling | Self::Lines => "text/plain",
        }
    }
}

/// Returns the messages of a response whose body arrives in `pieces`.
pub async fn messages(kind: ResponseKind, pieces: Vec<Vec<u8>>) -> Vec<Message> {
    let body = Body::wrap_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
    let mut response = Response::builder().header("Content-Type", kind.content_type());
    if kind != ResponseKind::Lines {
        response = response.header("Transfer-Encoding", "chunked");
    }
    let response = reqwest::Response::from(
        response
            .body(body)
            .expect("the headers are constant and valid"),
    );
    let url = Url::parse("http://localhost/").expect("the url is constant and valid");
    let channels = vec!["a".to_owned(), "b".to_owned()];
    let is_unframed = matches!(
        kind,
        ResponseKind::Multipart | ResponseKind::Parts | ResponseKind::Lines
    );
    let mut messages = Vec::new();
    match kind {
        ResponseKind::LongPolling | ResponseKind::Multipart => {
            if let Ok(response) = lp::PollResponse::read(
                response,
                &url,
                is_unframed.then_some(&channels),
                MAX_MESSAGE_BYTES,
            )
            .await
            {
                messages = response.messages;
            }
        }
        ResponseKind::Streaming | ResponseKind::Parts | ResponseKind::Lines => {
            let Ok(mut connection) = streaming::StreamConnection::new(
                response,
                url,
                channels,
                is_unframed,
                MAX_MESSAGE_BYTES,
            ) else {
                return messages;
            };
            while let Ok(Some(more)) = connection.next().await {
                messages.extend(more);
            }
        }
        ResponseKind::EventSource => {
            let Ok(mut connection) =
                ev::EventSourceConnection::new(response, url, channels, false, MAX_MESSAGE_BYTES)
            else {
                return messages;
            };
            while let Ok(Some(more)) = connection.next().await {
                messages.extend(more);
            }
        }
    }
    messages
}
