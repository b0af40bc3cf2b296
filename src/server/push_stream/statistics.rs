//! Statistics endpoint: `GET /channels-stats[?id=…]` (push-stream.md, section 6).
//!
//! Statuses: 200, 400 (channel id too long), 404 (no such channel), 405 (other methods). The
//! built-in location shows additional counters; other locations do with `?details=1`.

use bytes::Bytes;

use super::channels_path;
use super::explain::Rejection;
use super::info;
use super::permission;
use super::summary::{Worker, summary_body};
use crate::server::access::grant::{Action, ChannelFacts, Grant, may};
use crate::server::broker::{Broker, BrokerSummary, ChannelInfo};
use crate::server::config::{LocationSettings, Variables};
use crate::server::endpoint::notation::AcceptedNotation;
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{HeaderList, NO_CACHE, Response, Status, header_list};

/// Version headers of release 0.6.0 of the module, which monitoring tools may check.
static VERSION: HeaderList = header_list!(
    "X-Nginx-PushStream-Tag": "0.5.5",
    "X-Nginx-PushStream-Commit": "3bc016f811d50374251960db091557571dfd7393",
);

/// Reply of a statistics location.
pub enum StatisticsReply {
    /// A response that is ready.
    Respond(Response),
    /// A list of channels, which is built on another thread.
    List(Box<Listing>),
}

/// A list of channels that is to be built. Equal requests share one list.
#[derive(PartialEq)]
pub struct Listing {
    broker: Broker,
    /// Prefix of the channel ids.
    prefix: Bytes,
    notation: AcceptedNotation,
    with_details: bool,
    headers: HeaderList,
}

impl Listing {
    /// Status of the response with the list.
    pub const STATUS: Status = Status::OK;

    /// Builds the list; takes about a microsecond per channel.
    #[must_use]
    pub fn response(&self) -> Response {
        let Self {
            broker,
            prefix,
            notation,
            with_details,
            headers,
        } = self;
        let body = info::group(
            notation.notation,
            broker.list(prefix),
            &broker.counters().summary(),
            *with_details,
        );
        Response::sized(Self::STATUS, notation.content_type, headers.clone(), body)
    }

    /// Returns the broker whose channels are listed.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }
}

/// Handles a request to a statistics location.
#[must_use]
pub fn respond(
    request: &Request<'_>,
    variables: &dyn Variables,
    settings: &LocationSettings,
    grant: Grant,
    broker: &Broker,
) -> StatisticsReply {
    if request.method != "GET" {
        return StatisticsReply::Respond(
            Response::header_only(Status::NOT_ALLOWED, &NO_CACHE)
                .with_headers(&header_list!("Allow": "GET")),
        );
    }
    let notation = info::accepted(request.header("accept"));
    // The module has no such counters, so its locations show them on request only.
    let with_details = match request.argument(b"details") {
        Some(wanted) => wanted != b"0",
        None => settings.is_json(),
    };
    let headers = HeaderList::concat(&[&NO_CACHE, &VERSION]);
    let path = settings
        .channels_path
        .as_ref()
        .and_then(|path| path.evaluate_name(variables))
        .unwrap_or_default();
    let ids = channels_path::parse(&path);
    if ids.is_empty() {
        if let Err(rejection) = check(grant, Action::List, broker, b"") {
            return StatisticsReply::Respond(reject(rejection));
        }
        return StatisticsReply::Respond(summarise(broker, notation, with_details, headers));
    }
    let mut found: Vec<ChannelInfo> = Vec::new();
    for id in ids.iter().map(|channel| &channel.id) {
        let prefix = match listed_prefix(grant, broker, id) {
            Ok(prefix) => prefix,
            Err(rejection) => return StatisticsReply::Respond(reject(rejection)),
        };
        if let Some(prefix) = prefix {
            return StatisticsReply::List(Box::new(Listing {
                broker: broker.clone(),
                prefix,
                notation,
                with_details,
                headers,
            }));
        }
        found.extend(broker.find(id).map(|channel| channel.info()));
    }
    StatisticsReply::Respond(info::response(
        notation,
        &found,
        broker,
        with_details,
        headers,
    ))
}

fn reject(rejection: Rejection) -> Response {
    rejection.response(&HeaderList::concat(&[&NO_CACHE, &VERSION]))
}

/// Responds with the counters of the whole server.
fn summarise(
    broker: &Broker,
    notation: AcceptedNotation,
    with_details: bool,
    headers: HeaderList,
) -> Response {
    let summary = broker.counters().summary();
    let workers = workers(&summary);
    let body = summary_body(notation.notation, &summary, &workers, with_details);
    Response::sized(Status::OK, notation.content_type, headers, body)
}

/// Prefix of the channels that `id` lists: `ALL` or `PREFIX*`. `None` for a single channel.
fn listed_prefix(grant: Grant, broker: &Broker, id: &Bytes) -> Result<Option<Bytes>, Rejection> {
    permission::check_length(broker, id)?;
    let prefix = if id == "ALL" {
        Some(Bytes::new())
    } else {
        memchr::memchr(b'*', id).map(|star| id.slice(..star))
    };
    match &prefix {
        Some(prefix) => check(grant, Action::List, broker, prefix)?,
        None => check(grant, Action::ReadInfo, broker, id)?,
    }
    Ok(prefix)
}

/// Checks that the client may read about the channels with this name or prefix.
fn check(grant: Grant, action: Action, broker: &Broker, name: &[u8]) -> Result<(), Rejection> {
    let facts = ChannelFacts::of_name(broker, name);
    may(&grant, action, &facts).map_err(|_denial| Rejection::ForbiddenId)
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
