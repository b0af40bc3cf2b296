//! Answers of a server without the server, for the targets in `fuzz/`. Not part of any build but theirs.

use std::convert::Infallible;

use axum::http::Response;
use futures_util::stream;
use reqwest::{Body, Url};

use super::{Message, ev, lp, stream as streaming};

/// The kind of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An event stream.
    EventSource,
    /// A streaming response.
    Streaming,
    /// A long-polling answer.
    LongPolling,
}

/// The messages of an answer whose body comes in `pieces`.
pub async fn messages(answer: Answer, pieces: Vec<Vec<u8>>) -> Vec<Message> {
    let body = Body::wrap_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
    let kind = if answer == Answer::EventSource { "text/event-stream" } else { "text/plain" };
    let response = Response::builder().header("Content-Type", kind).header("Transfer-Encoding", "chunked");
    let response = reqwest::Response::from(response.body(body).expect("the headers are constant and valid"));
    let url = Url::parse("http://localhost/").expect("the url is constant and valid");
    let mut messages = Vec::new();
    match answer {
        Answer::LongPolling => {
            if let Ok(answer) = lp::Answer::read(response, &url).await {
                messages = answer.messages;
            }
        }
        Answer::Streaming => {
            let mut connection = streaming::Connection::new(response, url);
            while let Ok(Some(more)) = connection.next().await {
                messages.extend(more);
            }
        }
        Answer::EventSource => {
            let Ok(mut connection) = ev::Connection::new(response, url) else { return messages };
            while let Ok(Some(more)) = connection.next().await {
                messages.extend(more);
            }
        }
    }
    messages
}
