//! Subscriber locations of NHPM: long-poll and interval-poll (nhpm-nchan.md, sections
//! 1.5 to 1.7).
//!
//! | method | response |
//! |---|---|
//! | GET | 200 a message; 304 no message in time; 403; 409 replaced; 410 deleted |
//! | OPTIONS | 200 |
//! | any other | 405 |
//!
//! 404 without a channel id.

use std::sync::Arc;

use smallvec::smallvec;

use super::cursor;
use crate::server::access::grant::{Action, ChannelFacts, Denial, may};
use crate::server::broker::channel_key::channel_key;
use crate::server::broker::{
    AttachError, Channel, ChannelReader, ChannelStart, Cursor, Message, read_snapshot,
};
use crate::server::config::NhpmSettings;
use crate::server::config::model::nhpm::Concurrency;
use crate::server::endpoint::formats::{FormatKey, FormatKind};
use crate::server::endpoint::one_shot::{self, OneShotEncoder};
use crate::server::endpoint::{SubscribeCall, SubscribeReply};
use crate::server::exchange::response::{HeaderList, Response, Status};
use crate::server::fanout::{
    ChannelRequest, DeliveryBatch, EndReason, FollowerPolicy, ResumePoint, Subscription,
};
use crate::server::nhpm;

/// The responses to waiting long-polls.
struct NhpmLongPollEncoder {
    /// Header lines that the location adds.
    added: HeaderList,
}

pub(in crate::server) fn respond(
    call: &SubscribeCall<'_>,
    settings: &NhpmSettings,
    interval_poll: bool,
) -> SubscribeReply {
    let id = settings
        .channel_id
        .evaluate_name(call.variables)
        .unwrap_or_default();
    if id.is_empty() {
        return SubscribeReply::Respond(nhpm::no_channel_id());
    }
    match call.request.method {
        "GET" => {}
        "OPTIONS" => {
            return SubscribeReply::Respond(nhpm::options(
                "If-None-Match, If-Modified-Since, Origin",
                "GET, OPTIONS",
            ));
        }
        _ => return SubscribeReply::Respond(nhpm::not_allowed("GET, OPTIONS")),
    }
    let key = channel_key(&settings.channel_group, &id);
    let found = call.broker.find(&key);
    let facts = ChannelFacts::of_found(call.broker, &key, found.as_deref());
    let permission = may(&call.grant, Action::Subscribe, &facts);
    let is_missing = permission == Err(Denial::Missing);
    let is_denied = permission.is_err() && !is_missing;
    if id.len() as u64 > settings.max_channel_id_length || is_denied {
        return SubscribeReply::Respond(rejection(Status::FORBIDDEN));
    }
    call.broker
        .requests()
        .keep_alive(&key, settings.channel_timeout);
    if is_missing {
        return SubscribeReply::Respond(Response::error_page(Status::FORBIDDEN));
    }
    let Ok(channel) = call.open_channel(&key) else {
        return SubscribeReply::Respond(Response::error_page(Status::INTERNAL).closing());
    };
    call.broker
        .requests()
        .keep_alive(&key, settings.channel_timeout);
    if call.has_openings() {
        // Reading counts the readers of a message. This reply is discarded.
        return SubscribeReply::Respond(rejection(Status(503)));
    }
    if interval_poll {
        poll(call, &channel)
    } else {
        wait(call, settings, channel)
    }
}

/// The response to a subscriber that could not be attached.
pub(in crate::server) fn reject(error: &AttachError) -> Response {
    match error {
        AttachError::TooManySubscribers => rejection(Status::FORBIDDEN),
        AttachError::AlreadySubscribed => rejection(Status(409)),
        AttachError::Create(_) => Response::error_page(Status::INTERNAL).closing(),
    }
}

fn rejection(status: Status) -> Response {
    Response::header_only(status, HeaderList::default())
}

fn start(call: &SubscribeCall<'_>) -> ChannelStart {
    cursor::start(
        call.request.header("if-modified-since"),
        call.request.header("if-none-match"),
    )
}

/// Returns the first stored message from `start` on.
///
/// # Errors
/// The id of the newest message, if there is none.
fn first_message(
    call: &SubscribeCall<'_>,
    channel: &Arc<Channel>,
    start: ChannelStart,
) -> Result<Arc<Message>, u64> {
    call.broker.requests().touch(channel);
    channel.record_request();
    let reader = ChannelReader::open_at(channel, start);
    let newest = reader.cursor.live_from;
    let mut snapshot = if reader.cursor.is_in_backlog() {
        read_snapshot(&[reader], 1)
    } else {
        return Err(newest);
    };
    let message = snapshot
        .slices
        .first_mut()
        .and_then(|slice| slice.messages.drain(..).next());
    message
        .inspect(|message| call.broker.requests().record_read(channel, message.id))
        .ok_or(newest)
}

fn poll(call: &SubscribeCall<'_>, channel: &Arc<Channel>) -> SubscribeReply {
    SubscribeReply::Respond(match first_message(call, channel, start(call)) {
        Ok(message) => nhpm::message_response(&message),
        Err(_newest) => {
            let tag = call.request.header("if-none-match");
            let etag = tag.map(|tag| HeaderList::of("Etag", tag));
            Response::header_only(Status::NOT_MODIFIED, etag.unwrap_or_default())
        }
    })
}

fn wait(
    call: &SubscribeCall<'_>,
    settings: &NhpmSettings,
    channel: Arc<Channel>,
) -> SubscribeReply {
    let info = channel.info();
    if settings
        .max_channel_subscribers
        .is_some_and(|max| info.subscribers >= max)
    {
        return SubscribeReply::Respond(rejection(Status::FORBIDDEN));
    }
    if settings.concurrency == Concurrency::First && info.waiting > 0 {
        return SubscribeReply::Respond(rejection(Status(409)));
    }
    let header = |name| call.request.header(name);
    let ignores_queue = settings.ignore_queue_on_no_cache
        && cursor::is_no_cache(header("cache-control"), header("pragma"));
    let start = if ignores_queue {
        ChannelStart::Newest
    } else {
        match first_message(call, &channel, start(call)) {
            Ok(message) => {
                // A subscriber that gets a stored message replaces the waiting ones, too.
                if settings.concurrency == Concurrency::Last && info.waiting > 0 {
                    call.broker.requests().evict_waiting(&channel);
                }
                return SubscribeReply::Respond(nhpm::message_response(&message));
            }
            // Whatever its cursor, it receives the next message.
            Err(newest) => ChannelStart::AfterId(newest),
        }
    };
    SubscribeReply::Follow(Box::new(subscription(call, settings, channel, start)), ())
}

/// The subscription of a long poll that waits for the next message after `start`.
fn subscription(
    call: &SubscribeCall<'_>,
    settings: &NhpmSettings,
    channel: Arc<Channel>,
    start: ChannelStart,
) -> Subscription {
    let wire = call.waiting_wire();
    let key = FormatKey {
        connection: Some(wire.connection),
        added: call.added.clone(),
        ..FormatKey::new(call.settings, FormatKind::Nhpm)
    };
    let format = call.formats.shared(key, call.settings, || {
        let policy = FollowerPolicy {
            yields_to_new: true,
            ..FollowerPolicy::one_shot(call.slow_consumers())
        };
        let encoder = NhpmLongPollEncoder {
            added: call.added.clone(),
        };
        one_shot::format(policy, encoder, wire)
    });
    let requested = ChannelRequest {
        start: Some(start),
        max_subscribers: settings.max_channel_subscribers,
        ..ChannelRequest::new(channel)
    };
    Subscription {
        keeps_connection: wire.connection.keep_alive,
        time_to_live: settings.subscriber_timeout,
        concurrency: settings.concurrency,
        ..Subscription::new(smallvec![requested], Cursor::default(), format)
    }
}

impl NhpmLongPollEncoder {
    fn with_added(&self, response: Response) -> Response {
        let is_good = matches!(response.head.status.0, 200 | 304);
        if is_good {
            response.with_headers(&self.added)
        } else {
            response
        }
    }
}

impl OneShotEncoder for NhpmLongPollEncoder {
    fn messages(&self, batch: DeliveryBatch<'_>) -> Option<Response> {
        let first = batch.deliveries.first()?;
        Some(self.with_added(nhpm::message_response(first.message)))
    }

    fn deletion(&self, _: &[u8], _: &[u8], _: ResumePoint) -> Response {
        rejection(Status(410))
    }

    fn end(&self, ending: EndReason, _: ResumePoint) -> Response {
        let response = rejection(match ending {
            EndReason::Conflict => Status(409),
            EndReason::Deleted => Status(410),
            EndReason::TimeToLive
            | EndReason::Shutdown
            | EndReason::UnansweredPing
            | EndReason::Interrupted => Status::NOT_MODIFIED,
        });
        self.with_added(if ending == EndReason::Shutdown {
            response.closing()
        } else {
            response
        })
    }
}
