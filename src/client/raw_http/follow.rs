//! A subscriber of `bench`: gives the bytes of messages to a sink, as they come.

use reqwest::Url;
use serde_json::Value;

use super::response::{Decoder, Head, Piece};
use super::socket::Socket;
use super::{Buffer, Target, broken, frames, read, write};
use crate::client::error::shown;
use crate::client::{Error, Mode, page};

/// What takes the bytes.
pub trait Sink {
    /// The request is on its way.
    fn asked(&mut self);
    /// The server has answered with a good head (in long-polling: for the first time).
    fn answered(&mut self);
    /// Bytes of messages; they may stop anywhere in one.
    fn data(&mut self, bytes: &[u8]);
    /// No message goes on across this point.
    fn boundary(&mut self);
}

/// Follows `url` until the server ends it.
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

/// An error that came up while bytes were taken, to be returned when the read is over.
type Failure = Option<Error>;

/// What nchan chooses its streams by on its one URL, in the order in which `sub` tries them; the
/// others look at neither.
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
        // The location may have chunked streams only.
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
    let mut decoder = Decoder::default();
    loop {
        let mut failure = None;
        let length = read(&mut socket, buffer, |mut bytes| {
            loop {
                match piece(&mut decoder, &mut bytes, url, 200, &mut failure) {
                    // A long-poll: what is published until the next request would look lost.
                    Some(Piece::Head(head)) if head.is_finite => failure = Some(finite(url)),
                    Some(Piece::Head(_)) => sink.answered(),
                    Some(Piece::Data(data)) => sink.data(data),
                    Some(Piece::End) => failure = Some(ended(url)),
                    Some(Piece::More) | None => break,
                }
            }
        });
        finish(length.await, failure, url)?;
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
    let (mut decoder, mut frames, mut upgraded) =
        (Decoder::default(), frames::Decoder::default(), false);
    loop {
        let mut failure = None;
        let mut pings = 0;
        let length = read(&mut socket, buffer, |mut bytes| {
            if !upgraded
                && let Some(Piece::Head(_)) =
                    piece(&mut decoder, &mut bytes, url, 101, &mut failure)
            {
                upgraded = true;
                sink.answered();
            }
            if !upgraded {
                return;
            }
            loop {
                match frames.next(&mut bytes) {
                    frames::Piece::More => break,
                    frames::Piece::Data(data) => sink.data(data),
                    frames::Piece::End => sink.boundary(),
                    frames::Piece::Ping => pings += 1,
                    frames::Piece::Close(reason) => {
                        failure = Some(refusal(url, &reason));
                        break;
                    }
                }
            }
        });
        finish(length.await, failure, url)?;
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
            sink.asked();
        }
        let head = one_answer(&mut open_socket, url, sink, buffer).await?;
        if std::mem::take(&mut first) {
            sink.answered();
        }
        // Both or none: a time without tag would skip the rest of its second.
        if let (Some(last_modified), Some(etag)) = (&head.last_modified, &head.etag) {
            cursor = format!("If-Modified-Since: {last_modified}\r\nIf-None-Match: {etag}\r\n");
        }
        socket = (!head.closes).then_some(open_socket);
    }
}

async fn one_answer(
    socket: &mut Socket,
    url: &Url,
    sink: &mut impl Sink,
    buffer: &Buffer,
) -> Result<Head, Error> {
    let mut decoder = Decoder::default();
    let mut head = None;
    let mut is_over = false;
    while !is_over {
        let mut failure = None;
        let length = read(socket, buffer, |mut bytes| {
            loop {
                match piece(&mut decoder, &mut bytes, url, 200, &mut failure) {
                    Some(Piece::Head(found)) => head = Some(found),
                    Some(Piece::Data(data)) => sink.data(data),
                    Some(Piece::End) => {
                        is_over = true;
                        sink.boundary();
                        break;
                    }
                    Some(Piece::More) | None => break,
                }
            }
        })
        .await;
        let until_close = head.as_ref().is_some_and(|head| head.closes);
        if until_close && matches!(length, Ok(0)) && failure.is_none() {
            break;
        }
        finish(length, failure, url)?;
    }
    head.ok_or_else(|| ended(url))
}

async fn open(
    target: &Target,
    url: &Url,
    extra: &str,
    sink: &mut impl Sink,
) -> Result<Socket, Error> {
    let socket = request(target, url, extra).await?;
    sink.asked();
    Ok(socket)
}

async fn request(target: &Target, url: &Url, extra: &str) -> Result<Socket, Error> {
    let mut socket = target.connect().await?;
    write(&mut socket, target.request("GET", url, extra).as_bytes())
        .await
        .map_err(|error| broken(url, &error))?;
    Ok(socket)
}

/// The next piece of a response; a wrong one, or a status other than `good` (or 304), becomes the
/// failure.
fn piece<'a>(
    decoder: &mut Decoder,
    bytes: &mut &'a [u8],
    url: &Url,
    good: u16,
    failure: &mut Failure,
) -> Option<Piece<'a>> {
    if failure.is_some() {
        return None;
    }
    match decoder.next(bytes) {
        Ok(Piece::Head(head)) if head.status == 200 && good != 200 && head.is_html => {
            *failure = Some(page::error(url, "--sub-path"));
            None
        }
        // Streams may be of any type, so that what comes counts.
        Ok(Piece::Data(data)) if page::is_document(data) => {
            *failure = Some(page::error(url, "--sub-path"));
            None
        }
        Ok(Piece::Head(head)) if head.status != good && head.status != 304 => {
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

fn finish(length: std::io::Result<usize>, failure: Failure, url: &Url) -> Result<(), Error> {
    match (failure, length) {
        (Some(error), _) => Err(error),
        (None, Ok(0)) => Err(ended(url)),
        (None, Ok(_)) => Ok(()),
        (None, Err(error)) => Err(broken(url, &error)),
    }
}

fn finite(url: &Url) -> Error {
    let reason = "it is no endless response: the location has no streams of this mode (see --mode \
                  and --sub-path)"
        .to_owned();
    Error::Protocol {
        url: shown(url),
        reason,
    }
}

fn ended(url: &Url) -> Error {
    Error::Broken {
        url: shown(url),
        reason: "the server ended it".to_owned(),
    }
}

/// The module tells a refusal in the close frame (push-stream.md, section 12).
fn refusal(url: &Url, reason: &[u8]) -> Error {
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
        None => ended(url),
    }
}
