//! A subscriber of `bench`: passes the bytes of messages to a sink.

use reqwest::Url;
use serde_json::Value;

use super::frames;
use super::response::{ResponseDecoder, ResponseHead, ResponsePart};
use super::shared_buffer::{Buffer, broken, read, write};
use super::socket::Socket;
use super::target::Target;
use crate::client::error::Error;
use crate::client::mode::Mode;
use crate::client::transport::page;
use crate::client::url::shown;

/// Receives the bytes of messages.
pub trait Sink {
    /// The request is about to be sent.
    fn record_request(&mut self);
    /// The server responded with a success (long-polling: for the first time).
    fn record_response(&mut self);
    /// Bytes of messages, cut anywhere.
    fn data(&mut self, bytes: &[u8]);
    /// The current message ends here.
    fn boundary(&mut self);
}

/// Follows `url` until the server ends the response.
///
/// # Errors
/// Any [`Error`]; [`Error::Broken`] also when an endless response ended.
pub async fn follow(
    target: &Target,
    url: &Url,
    mode: Mode,
    sink: &mut impl Sink,
    buffer: &Buffer,
) -> Result<(), Error> {
    match mode {
        Mode::Lp | Mode::Poll => poll(target, url, sink, buffer).await,
        Mode::Ws => websocket(target, url, sink, buffer).await,
        Mode::Ev | Mode::Stream => stream(target, url, mode, sink, buffer).await,
    }
}

/// An error inside the read callback, returned after the read.
type Failure = Option<Error>;

/// Headers by which nchan selects the format of its only URL, in the order in which `sub` tries
/// them; other servers ignore them.
const STREAMS: [&str; 2] = ["Accept: multipart/mixed, */*\r\n", "TE: chunked\r\n"];

async fn stream(
    target: &Target,
    url: &Url,
    mode: Mode,
    sink: &mut impl Sink,
    buffer: &Buffer,
) -> Result<(), Error> {
    let negotiation = if mode == Mode::Ev {
        "Accept: text/event-stream\r\n"
    } else {
        STREAMS[0]
    };
    let socket = open(target, url, negotiation, sink).await?;
    match stream_from(socket, url, sink, buffer).await {
        // The location may support chunked streams only.
        Err(rejected @ Error::Status { status: 403, .. }) if mode == Mode::Stream => {
            let socket = request(target, url, STREAMS[1]).await?;
            match stream_from(socket, url, sink, buffer).await {
                Err(Error::Status { .. }) => Err(rejected),
                result => result,
            }
        }
        result => result,
    }
}

async fn stream_from(
    mut socket: Socket,
    url: &Url,
    sink: &mut impl Sink,
    buffer: &Buffer,
) -> Result<(), Error> {
    let mut decoder = ResponseDecoder::default();
    loop {
        let mut failure = None;
        let length = read(&mut socket, buffer, |mut bytes| {
            loop {
                match next_part(&mut decoder, &mut bytes, url, 200, &mut failure) {
                    // A long-poll: messages published before the next request would look lost.
                    Some(ResponsePart::ResponseHead(head)) if head.is_finite => {
                        failure = Some(finite_error(url))
                    }
                    Some(ResponsePart::ResponseHead(_)) => sink.record_response(),
                    Some(ResponsePart::Data(data)) => sink.data(data),
                    Some(ResponsePart::End) => failure = Some(ended_error(url)),
                    Some(ResponsePart::More) | None => break,
                }
            }
        });
        check_read(length.await, failure, url)?;
    }
}

async fn websocket(
    target: &Target,
    url: &Url,
    sink: &mut impl Sink,
    buffer: &Buffer,
) -> Result<(), Error> {
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut socket = open(target, url, handshake, sink).await?;
    let mut decoder = ResponseDecoder::default();
    let mut frames = frames::FrameDecoder::default();
    let mut upgraded = false;
    loop {
        let mut failure = None;
        let mut pings = 0;
        let length = read(&mut socket, buffer, |mut bytes| {
            if !upgraded
                && let Some(ResponsePart::ResponseHead(_)) =
                    next_part(&mut decoder, &mut bytes, url, 101, &mut failure)
            {
                upgraded = true;
                sink.record_response();
            }
            if !upgraded {
                return;
            }
            loop {
                match frames.next(&mut bytes) {
                    frames::FramePart::More => break,
                    frames::FramePart::Data(data) => sink.data(data),
                    frames::FramePart::End => sink.boundary(),
                    frames::FramePart::Ping => pings += 1,
                    frames::FramePart::Close(reason) => {
                        failure = Some(close_error(url, &reason));
                        break;
                    }
                }
            }
        });
        check_read(length.await, failure, url)?;
        for _ in 0..pings {
            write(&mut socket, &frames::PONG)
                .await
                .map_err(|error| broken(url, &error))?;
        }
    }
}

async fn poll(
    target: &Target,
    url: &Url,
    sink: &mut impl Sink,
    buffer: &Buffer,
) -> Result<(), Error> {
    let mut cursor = String::new();
    let mut socket = None;
    let mut first = true;
    loop {
        let mut open_socket = match socket.take() {
            Some(socket) => socket,
            None => target.connect().await?,
        };
        let request = target.request("GET", url, &cursor);
        write(&mut open_socket, request.as_bytes())
            .await
            .map_err(|error| broken(url, &error))?;
        if first {
            sink.record_request();
        }
        let head = read_response(&mut open_socket, url, sink, buffer).await?;
        if std::mem::take(&mut first) {
            sink.record_response();
        }
        // Both or none: a time without a tag would skip the rest of its second.
        if let (Some(last_modified), Some(etag)) = (&head.last_modified, &head.etag) {
            cursor = format!("If-Modified-Since: {last_modified}\r\nIf-None-Match: {etag}\r\n");
        }
        socket = (!head.closes).then_some(open_socket);
    }
}

async fn read_response(
    socket: &mut Socket,
    url: &Url,
    sink: &mut impl Sink,
    buffer: &Buffer,
) -> Result<ResponseHead, Error> {
    let mut decoder = ResponseDecoder::default();
    let mut head = None;
    let mut is_over = false;
    while !is_over {
        let mut failure = None;
        let length = read(socket, buffer, |mut bytes| {
            loop {
                match next_part(&mut decoder, &mut bytes, url, 200, &mut failure) {
                    Some(ResponsePart::ResponseHead(found)) => head = Some(found),
                    Some(ResponsePart::Data(data)) => sink.data(data),
                    Some(ResponsePart::End) => {
                        is_over = true;
                        sink.boundary();
                        break;
                    }
                    Some(ResponsePart::More) | None => break,
                }
            }
        })
        .await;
        let until_close = head.as_ref().is_some_and(|head| head.closes);
        if until_close && matches!(length, Ok(0)) && failure.is_none() {
            break;
        }
        check_read(length, failure, url)?;
    }
    head.ok_or_else(|| ended_error(url))
}

async fn open(
    target: &Target,
    url: &Url,
    extra: &str,
    sink: &mut impl Sink,
) -> Result<Socket, Error> {
    let socket = request(target, url, extra).await?;
    sink.record_request();
    Ok(socket)
}

async fn request(target: &Target, url: &Url, extra: &str) -> Result<Socket, Error> {
    let mut socket = target.connect().await?;
    write(&mut socket, target.request("GET", url, extra).as_bytes())
        .await
        .map_err(|error| broken(url, &error))?;
    Ok(socket)
}

/// Returns the next part of a response. An invalid part, or a status other than `good` or 304, sets
/// `failure`.
fn next_part<'a>(
    decoder: &mut ResponseDecoder,
    bytes: &mut &'a [u8],
    url: &Url,
    good: u16,
    failure: &mut Failure,
) -> Option<ResponsePart<'a>> {
    if failure.is_some() {
        return None;
    }
    match decoder.next(bytes) {
        Ok(ResponsePart::ResponseHead(head))
            if head.status == 200 && good != 200 && head.is_html =>
        {
            *failure = Some(page::error(url, "--sub-path"));
            None
        }
        // Streams may have any content type, so the body is checked.
        Ok(ResponsePart::Data(data)) if page::is_document(data) => {
            *failure = Some(page::error(url, "--sub-path"));
            None
        }
        Ok(ResponsePart::ResponseHead(head)) if head.status != good && head.status != 304 => {
            *failure = Some(Error::of_status(
                url,
                head.status,
                head.explain,
                head.location.as_deref(),
            ));
            None
        }
        Ok(piece) => Some(piece),
        Err(reason) => {
            *failure = Some(Error::Protocol {
                url: shown(url),
                reason,
            });
            None
        }
    }
}

fn check_read(length: std::io::Result<usize>, failure: Failure, url: &Url) -> Result<(), Error> {
    match (failure, length) {
        (Some(error), _) => Err(error),
        (None, Ok(0)) => Err(ended_error(url)),
        (None, Ok(_)) => Ok(()),
        (None, Err(error)) => Err(broken(url, &error)),
    }
}

fn finite_error(url: &Url) -> Error {
    let reason =
        "it is not an endless response: the location has no streams of this mode (see --mode \
                  and --sub-path)"
            .to_owned();
    Error::Protocol {
        url: shown(url),
        reason,
    }
}

fn ended_error(url: &Url) -> Error {
    Error::Broken {
        url: shown(url),
        reason: "closed by the server".to_owned(),
    }
}

/// The module sends an error status in the close frame (push-stream.md, section 12).
fn close_error(url: &Url, reason: &[u8]) -> Error {
    let json: Value = serde_json::from_slice(reason).unwrap_or_default();
    match json["http_status"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
    {
        Some(status) => Error::Status {
            url: shown(url),
            status,
            explain: json["explain"].as_str().map(str::to_owned),
        },
        None => ended_error(url),
    }
}
