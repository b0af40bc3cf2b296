//! Answers of a server without the server, for the targets in `fuzz/`. Not part of any build but
//! theirs.

use std::convert::Infallible;

use axum::http::Response;
use futures_util::stream;
use reqwest::{Body, Url};

use super::{MAX_MESSAGE_BYTES, Message, ev, lp, stream as streaming};

/// The kind of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An event stream.
    EventSource,
    /// A streaming response.
    Streaming,
    /// A long-polling answer.
    LongPolling,
    /// Several messages of nchan in one answer to a poll.
    Multipart,
    /// nchan's stream of parts.
    Parts,
    /// nchan's stream of lines.
    Lines,
}

impl Answer {
    fn content_type(self) -> &'static str {
        match self {
            Self::EventSource => "text/event-stream",
            Self::Multipart | Self::Parts => "multipart/mixed; boundary=b",
            Self::Streaming | Self::LongPolling | Self::Lines => "text/plain",
        }
    }
}

/// The messages of an answer whose body comes in `pieces`.
pub async fn messages(answer: Answer, pieces: Vec<Vec<u8>>) -> Vec<Message> {
    let body = Body::wrap_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
    let mut response = Response::builder().header("Content-Type", answer.content_type());
    if answer != Answer::Lines {
        response = response.header("Transfer-Encoding", "chunked");
    }
    let response = reqwest::Response::from(
        response
            .body(body)
            .expect("the headers are constant and valid"),
    );
    let url = Url::parse("http://localhost/").expect("the url is constant and valid");
    let channels = vec!["a".to_owned(), "b".to_owned()];
    let is_bare = matches!(answer, Answer::Multipart | Answer::Parts | Answer::Lines);
    let mut messages = Vec::new();
    match answer {
        Answer::LongPolling | Answer::Multipart => {
            if let Ok(answer) = lp::PollResponse::read(
                response,
                &url,
                is_bare.then_some(&channels),
                MAX_MESSAGE_BYTES,
            )
            .await
            {
                messages = answer.messages;
            }
        }
        Answer::Streaming | Answer::Parts | Answer::Lines => {
            let Ok(mut connection) =
                streaming::Connection::new(response, url, channels, is_bare, MAX_MESSAGE_BYTES)
            else {
                return messages;
            };
            while let Ok(Some(more)) = connection.next().await {
                messages.extend(more);
            }
        }
        Answer::EventSource => {
            let Ok(mut connection) =
                ev::Connection::new(response, url, channels, false, MAX_MESSAGE_BYTES)
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
