//! Publishing in the dialect of nchan (nhpm-nchan.md, section 2.4): the settings of the messages of
//! a request or websocket, and the statistics reported for them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::events;
use super::events::ChannelEvent;
use super::info::NchanChannelStats;
use super::variables::NchanValues;
use super::{NamedChannels, deflate, groups, text};
use crate::message::unix_now;
use crate::server::access::grant::{Action, ChannelFacts, Grant, may};
use crate::server::broker::channel_key::channel_key;
use crate::server::broker::{
    Attributes, Broker, Channel, ChannelInfo, GroupLimitError, NewMessage, PublishError,
    StoreOptions, Tickets,
};
use crate::server::config::model::nchan::Setting;
use crate::server::config::model::units;
use crate::server::config::{Expression, NchanSettings, Variables};
use crate::server::endpoint::PublishOutcome;
use crate::server::exchange::response::{Response, Status};

/// The channels and settings for the messages of a request or websocket.
#[derive(Clone, Debug)]
pub struct Publication {
    grant: Grant,
    channels: SmallVec<[Arc<Channel>; 1]>,
    /// The group of the channels.
    group: Bytes,
    settings: Arc<NchanSettings>,
    timeout: Option<Duration>,
    buffer_length: u64,
    event_type: Option<Bytes>,
    event: Option<ChannelEvent>,
}

/// Why a message was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicationError {
    /// A limit of its group is reached.
    Group(GroupLimitError),
    /// The broker has rejected or not acknowledged it.
    Publish(PublishError),
}

/// What is reported of a published message: the status and statistics.
pub type Confirmation = Result<(Status, NchanChannelStats), PublicationError>;

/// Evaluates the time-out and the length of the message buffer.
///
/// # Errors
/// The response to an invalid value, without CORS headers.
pub fn check_settings(
    settings: &NchanSettings,
    variables: &dyn Variables,
) -> Result<(Option<Duration>, u64), Box<Response>> {
    let rejected =
        |what: &str, name: &str| Box::new(text(Status::FORBIDDEN, &format!("{what} {name} value")));
    let evaluated = |expression: &Expression, name: &str| -> Result<Vec<u8>, Box<Response>> {
        let value: Cow<'_, [u8]> = expression.evaluate(variables);
        if value.is_empty() {
            Err(rejected("missing", name))
        } else {
            Ok(value.into_owned())
        }
    };
    let timeout = match &settings.message_timeout {
        Setting::Fixed(timeout) => *timeout,
        Setting::Variable(expression) => {
            const NAME: &str = "nchan_message_timeout";
            let value = evaluated(expression, NAME)?;
            let time = units::time(&value, false).ok_or_else(|| rejected("invalid", NAME))?;
            Some(time).filter(|time| !time.is_zero())
        }
    };
    let length = match &settings.message_buffer_length {
        Setting::Fixed(length) => *length,
        Setting::Variable(expression) => {
            const NAME: &str = "nchan_message_buffer_length";
            let value = evaluated(expression, NAME)?;
            units::number(&value).ok_or_else(|| rejected("invalid", NAME))?
        }
    };
    Ok((timeout, length))
}

/// The combined statistics of several channels.
#[must_use]
pub fn combined_stats(infos: &[ChannelInfo]) -> NchanChannelStats {
    let requested = infos
        .iter()
        .map(|info| info.requested_second)
        .max()
        .unwrap_or(0);
    NchanChannelStats {
        messages: 1,
        requested: Some(requested)
            .filter(|since| *since > 0)
            .map(|since| unix_now().saturating_sub(since)),
        subscribers: infos.iter().map(|info| info.subscribers).sum(),
        last_message_id: "0".to_owned(),
    }
}

impl Publication {
    /// The number of its channels.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Creates the missing channels and evaluates the settings of their messages. `publisher_type`
    /// is the value of `$nchan_publisher_type`: `http` or `websocket`.
    ///
    /// # Errors
    /// The response to an invalid setting, an exceeded group limit or a lack of memory; without
    /// CORS headers.
    pub fn new(
        settings: &Arc<NchanSettings>,
        named: &NamedChannels,
        grant: Grant,
        broker: &Broker,
        variables: &dyn Variables,
        publisher_type: &'static str,
        event_type: Option<Bytes>,
    ) -> Result<Self, Box<Response>> {
        let (timeout, buffer_length) = check_settings(settings, variables)?;
        let group = named.group.clone();
        if settings.group_accounting {
            groups::set_limits(broker, &group, &settings.group_limits, variables)?;
            for key in &named.keys {
                let check = broker
                    .groups()
                    .group_info(&group)
                    .check_publication(0, broker.find(key).is_none());
                check.map_err(|full| Box::new(text(Status::FORBIDDEN, &full.to_string())))?;
            }
        }
        let mut channels = SmallVec::new();
        for key in &named.keys {
            channels.push(
                broker.find_or_create(key).map_err(|_no_room| {
                    Box::new(Response::error_page(Status::INTERNAL).closing())
                })?,
            );
        }
        let values = NchanValues {
            channel_ids: named.ids.clone(),
            publisher_type,
            event: "channel_publish",
            ..NchanValues::default()
        };
        let event = ChannelEvent::new(settings, variables, &values);
        let event_type = settings.eventsource_event.clone().or(event_type);
        Ok(Self {
            grant,
            channels,
            group,
            settings: Arc::clone(settings),
            timeout,
            buffer_length,
            event_type,
            event,
        })
    }

    /// The query argument that names the only channel of a message, if nothing else depends on the
    /// channel: neither limits of a group nor an event.
    #[must_use]
    pub fn channel_argument(&self) -> Option<&Bytes> {
        let settings = &self.settings;
        let id = match (&settings.publisher_ids[..], &settings.legacy_id) {
            ([id], _) | ([], Some(id)) => id,
            _ => return None,
        };
        let is_alone = settings.split_delimiter.is_empty()
            && !settings.group_accounting
            && self.event.is_none();
        id.as_argument().filter(|_| is_alone)
    }

    /// Directs the publication to another channel, which the argument names without escapes.
    /// Returns false if the channel does not exist or does not accept messages.
    #[must_use]
    pub fn redirect(&mut self, broker: &Broker, id: &[u8]) -> bool {
        let key = channel_key(&self.group, id);
        let found = broker.find(&key).filter(|channel| {
            let facts = ChannelFacts::of_found(broker, &key, Some(channel));
            id.len() as u64 <= self.settings.max_channel_id_length
                && may(&self.grant, Action::Publish, &facts).is_ok()
        });
        self.channels = found.into_iter().collect();
        !self.channels.is_empty()
    }

    /// Releases the channels; the publication can be directed to another one.
    pub fn release_channels(&mut self) {
        self.channels.clear();
    }

    /// Publishes a message to every channel.
    pub fn publish(
        &self,
        broker: &Broker,
        body: Bytes,
        content_type: Option<Bytes>,
    ) -> PublishOutcome<Confirmation> {
        if self.settings.group_accounting {
            let usage = broker.groups().group_info(&self.group);
            if let Err(full) = usage.check_publication(body.len() as u64, false) {
                return PublishOutcome::Ready(Err(PublicationError::Group(full)));
            }
        }
        let settings = &self.settings;
        let store = settings.store_messages && self.buffer_length > 0;
        let keeping = StoreOptions {
            store,
            max_stored: settings.store_messages.then_some(self.buffer_length),
            takes_channel_tag: true,
        };
        let message = self.message(body, content_type);
        match broker.publish_to_all(&self.channels, message, keeping) {
            Tickets::Ready(result) => {
                PublishOutcome::Ready(confirm(broker, self.event.as_ref(), result))
            }
            Tickets::Pending(tickets) => {
                let event = self.event.clone();
                let broker = broker.clone();
                PublishOutcome::pending(async move {
                    confirm(&broker, event.as_ref(), tickets.settle().await)
                })
            }
        }
    }

    fn message(&self, body: Bytes, content_type: Option<Bytes>) -> NewMessage {
        let settings = &self.settings;
        let attributes = Attributes {
            content_type,
            expires_after: Some(self.timeout.map_or(u64::MAX, |timeout| {
                unix_now().saturating_add(timeout.as_secs())
            })),
            deflated: if settings.deflate_message {
                deflate::compress(&body, settings.deflate)
            } else {
                None
            },
            ..Attributes::default()
        };
        NewMessage {
            text: body,
            event_id: None,
            event_type: self.event_type.clone(),
            attributes: Some(Arc::new(attributes)),
        }
    }
}

/// Publishes the event of a published message, and reports the message.
fn confirm(
    broker: &Broker,
    event: Option<&ChannelEvent>,
    result: Result<SmallVec<[ChannelInfo; 1]>, PublishError>,
) -> Confirmation {
    let infos = result.map_err(PublicationError::Publish)?;
    events::emit(broker, event);
    let numbers = if let [info] = infos.as_slice() {
        NchanChannelStats::of(info)
    } else {
        combined_stats(&infos)
    };
    let status = if infos.iter().any(|info| info.subscribers > 0) {
        Status(201)
    } else {
        Status(202)
    };
    Ok((status, numbers))
}
