//! Statistics locations: `GET /channels-stats[?id=…]` (push-stream.md, section 6). 200, 400, 404;
//! 405 for other methods.
//!
//! The built-in location shows further numbers; others do so with `?details=1`.

use std::borrow::Cow;

use bytes::Bytes;

use super::broker::{Broker, BrokerSummary, ChannelInfo};
use super::config::{LocationSettings, Variables};
use super::dialect::push_stream::channels_path;
use super::dialect::push_stream::explain::Refusal;
use super::dialect::push_stream::info::InfoNotation;
use super::dialect::push_stream::summary::Worker;
use super::request::Request;
use super::response::{NO_CACHE, Response, Status};

/// What release 0.6.0 of the module sends; monitoring may look at it.
const VERSION_LINES: &[u8] = b"X-Nginx-PushStream-Tag: 0.5.5\r\n\
                               X-Nginx-PushStream-Commit: \
                               3bc016f811d50374251960db091557571dfd7393\r\n";

/// What a request at a statistics location comes to.
pub enum StatisticsReply {
    /// This response.
    Respond(Response),
    /// A list that takes its time.
    List(Box<Listing>),
}

/// A list of channels that is still to be made; equal ones are the same list.
#[derive(PartialEq)]
pub struct Listing {
    broker: Broker,
    /// What their ids begin with.
    prefix: Bytes,
    notation: InfoNotation,
    with_details: bool,
    headers: Cow<'static, [u8]>,
}

impl Listing {
    /// The status of every list.
    pub const STATUS: Status = Status::OK;

    /// Makes the list: about a microsecond for each channel.
    #[must_use]
    pub fn response(&self) -> Response {
        let Self {
            broker,
            prefix,
            notation,
            with_details,
            headers,
        } = self;
        let body = notation.group(broker.list(prefix), &broker.summary(), *with_details);
        Response::sized(Self::STATUS, notation.content_type(), headers.clone(), body)
    }

    /// The server whose channels are listed.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }
}

/// Answers a request at a statistics location.
#[must_use]
pub fn respond(
    request: &Request<'_>,
    variables: &dyn Variables,
    settings: &LocationSettings,
    broker: &Broker,
) -> StatisticsReply {
    if request.method != "GET" {
        return StatisticsReply::Respond(Response::header_only(
            Status::NOT_ALLOWED,
            [NO_CACHE, b"Allow: GET\r\n"].concat(),
        ));
    }
    let notation = InfoNotation::accepted(request.header("accept"));
    // What the module does not have is not put into the answers of its locations unasked.
    let with_details = match request.argument(b"details") {
        Some(wanted) => wanted != b"0",
        None => settings.is_json(),
    };
    let headers: Cow<'static, [u8]> = Cow::Owned([NO_CACHE, VERSION_LINES].concat());
    let path = settings
        .channels_path
        .as_ref()
        .and_then(|path| path.evaluate_name(variables))
        .unwrap_or_default();
    let ids = channels_path::parse(&path);
    if ids.is_empty() {
        let summary = broker.summary();
        let body = notation.summary(&summary, &workers(&summary), with_details);
        return StatisticsReply::Respond(Response::sized(
            Status::OK,
            notation.content_type(),
            headers,
            body,
        ));
    }
    let list = |prefix: Bytes| Listing {
        broker: broker.clone(),
        prefix,
        notation,
        with_details,
        headers: headers.clone(),
    };
    let mut found: Vec<ChannelInfo> = Vec::new();
    for id in ids.iter().map(|channel| &channel.id) {
        if broker
            .settings()
            .max_channel_id_length
            .is_some_and(|most| id.len() as u64 > most)
        {
            return StatisticsReply::Respond(Refusal::IdTooLong.response(VERSION_LINES, false));
        }
        if let Some(star) = memchr::memchr(b'*', id) {
            return StatisticsReply::List(Box::new(list(id.slice(..star))));
        }
        if id == "ALL" {
            return StatisticsReply::List(Box::new(list(Bytes::new())));
        }
        found.extend(broker.find(id).map(|channel| channel.info()));
    }
    StatisticsReply::Respond(notation.response(&found, broker, with_details, headers))
}

fn workers(summary: &BrokerSummary) -> Vec<Worker> {
    let uptime = summary.uptime.as_secs();
    summary
        .shards
        .iter()
        .map(|shard| Worker {
            pid: shard.thread_id,
            subscribers: shard.subscribers,
            uptime,
        })
        .collect()
}
