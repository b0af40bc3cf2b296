//! `nchan_subscriber_info` (nhpm-nchan.md, section 2.10): one message per subscriber of a channel,
//! delivered as a stream.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;

use super::{NchanReply, NchanSubscribeCall};
use crate::message::unix_now;
use crate::server::broker::channel_key::channel_key;
use crate::server::broker::{Attributes, NewMessage, StoreOptions};
use crate::server::config::NchanSettings;
use crate::server::config::model::nchan::Roles;
use crate::server::endpoint::{SubscribeCall, SubscribeReply};
use crate::server::exchange::response::{Response, Status};
use crate::server::nchan;
use crate::server::nchan::negotiation;
use crate::server::nchan::negotiation::RequestedAction;
use crate::server::nchan::{EVENTS_GROUP, cors};

/// Lifetime of the messages until the stream sends them.
const LIFETIME_SECONDS: u64 = 60;

pub(in crate::server) fn respond(
    call: &SubscribeCall<'_>,
    settings: &Arc<NchanSettings>,
) -> NchanReply {
    lines(call, settings).unwrap_or_else(|response| SubscribeReply::Respond(*response))
}

fn lines(
    call: &SubscribeCall<'_>,
    settings: &Arc<NchanSettings>,
) -> Result<NchanReply, Box<Response>> {
    let offered = Roles::WEBSOCKET
        .and(Roles::EVENTSOURCE)
        .and(Roles::CHUNKED)
        .and(Roles::MULTIPART)
        .and(Roles::RAW_STREAM);
    let RequestedAction::Subscribe(mode) = negotiation::requested_action(call.request, offered)
    else {
        let headers = cors::of_request(settings, call.variables).headers;
        return Err(Box::new(
            nchan::empty(Status::FORBIDDEN).with_headers(&headers),
        ));
    };
    let mut subscribing = NchanSubscribeCall::new(call, settings, mode)?;
    let followers: Vec<Bytes> = subscribing
        .named
        .keys
        .iter()
        .flat_map(|key| call.broker.presence().presences(key))
        .collect();
    // A temporary channel, whose id cannot be guessed.
    let id = format!(
        "info/{:x}{:x}",
        RandomState::new().hash_one(0_u8),
        RandomState::new().hash_one(1_u8)
    );
    let key = channel_key(EVENTS_GROUP, id.as_bytes());
    let no_room = || Box::new(Response::error_page(Status::INTERNAL).closing());
    let channel = call.broker.find_or_create(&key).map_err(|_| no_room())?;
    call.broker.open_new(&channel);
    let attributes = Arc::new(Attributes {
        expires_after: Some(unix_now() + LIFETIME_SECONDS),
        ..Attributes::default()
    });
    for text in followers {
        let message = NewMessage {
            text,
            attributes: Some(Arc::clone(&attributes)),
            ..NewMessage::default()
        };
        call.broker
            .publish(&channel, message, StoreOptions::new(true))
            .detach()
            .map_err(|_| no_room())?;
    }
    subscribing.named.keys = vec![key];
    subscribing.id = None;
    subscribing.respond()
}
