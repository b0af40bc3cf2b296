//! `nchan_subscriber_info` (nhpm-nchan.md, section 2.10): a message for each subscriber of a
//! channel, in the way of any stream.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;

use super::Subscribing;
use crate::message::unix_now;
use crate::server::broker::{Attributes, NewMessage, StoreOptions};
use crate::server::config::NchanSettings;
use crate::server::config::nchan::Roles;
use crate::server::dialect::channel_key::channel_key;
use crate::server::dialect::nchan::negotiation::{self, Wanted};
use crate::server::dialect::nchan::{self, EVENTS_GROUP, cors};
use crate::server::response::{Response, Status};
use crate::server::subscriber::{Call, SubscribeReply};

/// How long the lines wait for the stream that is to send them.
const SECONDS: u64 = 60;

pub(in crate::server::subscriber) fn answer(
    call: &Call<'_>,
    settings: &Arc<NchanSettings>,
) -> SubscribeReply {
    lines(call, settings).unwrap_or_else(|response| SubscribeReply::Respond(*response))
}

fn lines(call: &Call<'_>, settings: &Arc<NchanSettings>) -> Result<SubscribeReply, Box<Response>> {
    let offered = Roles::WEBSOCKET
        .and(Roles::EVENTSOURCE)
        .and(Roles::CHUNKED)
        .and(Roles::MULTIPART)
        .and(Roles::RAW_STREAM);
    let Wanted::Subscribe(mode) = negotiation::wanted(call.request, offered) else {
        let lines = cors::of_request(settings, call.variables).lines;
        return Err(Box::new(
            nchan::empty(Status::FORBIDDEN).with_headers(&lines),
        ));
    };
    let mut subscribing = Subscribing::new(call, settings, mode)?;
    let followers: Vec<Bytes> = subscribing
        .named
        .keys
        .iter()
        .flat_map(|key| call.broker.presences(key))
        .collect();
    // A channel of its own, which nobody else can name.
    let id = format!(
        "info/{:x}{:x}",
        RandomState::new().hash_one(0_u8),
        RandomState::new().hash_one(1_u8)
    );
    let key = channel_key(EVENTS_GROUP, id.as_bytes());
    let no_room = |_| Box::new(Response::error_page(Status::INTERNAL).closing());
    let channel = call.broker.find_or_create(&key).map_err(no_room)?;
    let attributes = Arc::new(Attributes {
        expires_after: Some(unix_now() + SECONDS),
        ..Attributes::default()
    });
    for text in followers {
        let message = NewMessage {
            text,
            attributes: Some(Arc::clone(&attributes)),
            ..NewMessage::default()
        };
        call.broker
            .publish_with(&channel, message, StoreOptions::new(true))
            .map_err(no_room)?;
    }
    subscribing.named.keys = vec![key];
    subscribing.id = None;
    subscribing.answer()
}
