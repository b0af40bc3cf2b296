//! Channels that tell what happens to others (nhpm-nchan.md, section 2.10):
//! `nchan_channel_events_channel_id`.

use std::sync::Arc;

use bytes::Bytes;

use super::EVENTS_GROUP;
use super::variables::{NchanVariables, Values};
use crate::message::unix_now;
use crate::server::broker::{Attributes, Broker, NewMessage, StoreOptions};
use crate::server::config::{NchanSettings, Variables};
use crate::server::dialect::channel_key::channel_key;

/// Messages that an events channel keeps, and for how many seconds.
const BUFFER_LENGTH: u64 = 100;
const TIMEOUT_SECONDS: u64 = 10;

/// Something that happened, ready to be told.
#[derive(Clone, Debug)]
pub struct Event {
    key: Bytes,
    text: Bytes,
}

impl Event {
    /// The event of `values`, if the location tells events.
    #[must_use]
    pub fn new(settings: &NchanSettings, request: &dyn Variables, values: &Values) -> Option<Self> {
        let id = settings.events_channel_id.as_ref()?;
        let variables = NchanVariables { request, values };
        let id = id.evaluate(&variables);
        let text = match &settings.event_string {
            Some(string) => string.evaluate(&variables).into_owned().into(),
            None => [
                values.event.as_bytes(),
                b" ",
                values
                    .channel_ids
                    .first()
                    .map(|id| &id[..])
                    .unwrap_or_default(),
            ]
            .concat()
            .into(),
        };
        Some(Self {
            key: channel_key(EVENTS_GROUP, &id),
            text,
        })
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.key.len() + self.text.len()
    }
}

/// Tells it.
pub fn emit(broker: &Broker, event: Option<&Event>) {
    let Some(Event { key, text }) = event else {
        return;
    };
    let expires_after = Some(unix_now() + TIMEOUT_SECONDS);
    let attributes = Some(Arc::new(Attributes {
        expires_after,
        ..Attributes::default()
    }));
    let message = NewMessage {
        text: text.clone(),
        attributes,
        ..NewMessage::default()
    };
    let keeping = StoreOptions {
        store: true,
        max_stored: Some(BUFFER_LENGTH),
        takes_channel_tag: true,
    };
    let emitted = broker
        .find_or_create(key)
        .and_then(|channel| broker.publish_with(&channel, message, keeping));
    if emitted.is_err() {
        tracing::debug!("no room for an event of nchan");
    }
}
