//! Events about channels, published to another channel (nhpm-nchan.md, section 2.10):
//! `nchan_channel_events_channel_id`.

use std::sync::Arc;

use bytes::Bytes;

use super::EVENTS_GROUP;
use super::variables::{NchanValues, NchanVariables};
use crate::message::unix_now;
use crate::server::broker::channel_key::channel_key;
use crate::server::broker::{Attributes, Broker, NewMessage, PublishError, StoreOptions};
use crate::server::config::{NchanSettings, Variables};

/// Limits of the buffer of an events channel: number of messages, and their lifetime.
const BUFFER_LENGTH: u64 = 100;
const TIMEOUT_SECONDS: u64 = 10;

/// An event about a channel, ready to be published.
#[derive(Clone, Debug)]
pub struct ChannelEvent {
    key: Bytes,
    text: Bytes,
}

impl ChannelEvent {
    /// Creates the event of `values`; `None` if the location publishes no events.
    #[must_use]
    pub fn new(
        settings: &NchanSettings,
        request: &dyn Variables,
        values: &NchanValues,
    ) -> Option<Self> {
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

    /// Memory held, in bytes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.key.len() + self.text.len()
    }
}

/// Publishes an event. Without memory for it, the event is dropped.
pub fn emit(broker: &Broker, event: Option<&ChannelEvent>) {
    let Some(ChannelEvent { key, text }) = event else {
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
        .map_err(PublishError::Rejected)
        .and_then(|channel| broker.publish(&channel, message, keeping).detach());
    if let Err(error) = emitted {
        tracing::debug!(%error, "cannot publish an nchan channel event");
    }
}
