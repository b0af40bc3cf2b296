//! Replay of long polls that differ from an earlier one only in their cursor; `http::replay` finds
//! the cursor.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::smallvec;

use super::long_polling;
use super::long_polling::BacklogState;
use super::{SubscriberMode, check_subscribe_channel, requested_mode, resume};
use crate::server::broker::Broker;
use crate::server::config::{Endpoint, Expression, LocationSettings};
use crate::server::endpoint::formats::Formats;
use crate::server::endpoint::formats::PollResponseTraits;
use crate::server::endpoint::formats::SharedFormat;
use crate::server::endpoint::{SubscribeCall, SubscribeReply};
use crate::server::fanout::ChannelRequest;
use crate::server::push_stream::channels_path;
use crate::server::push_stream::channels_path::ChannelRef;
use crate::server::push_stream::cursor;

/// A poll without its cursor.
pub struct PollReplay {
    settings: Arc<LocationSettings>,
    /// Id of the channel.
    id: Bytes,
    format: SharedFormat,
    response_traits: PollResponseTraits,
}

/// Returns what responds to polls with the same head but another date and tag, if nothing else
/// depends on these. The call must have been accepted.
#[must_use]
pub(crate) fn replay(call: &SubscribeCall<'_>) -> Option<Box<PollReplay>> {
    let path = find_channels_path(call.settings)?;
    let is_poll = requested_mode(call) == SubscriberMode::LongPolling;
    if !is_poll || !path.uses_only_target() || !cursor::is_of_headers(call.settings, call.variables)
    {
        return None;
    }
    let path = path.evaluate(call.variables);
    let [
        ChannelRef {
            id,
            backtrack: None,
        },
    ] = &channels_path::parse(&path)[..]
    else {
        return None;
    };
    let response_traits = long_polling::response_traits(call)?;
    let format = long_polling::format(call);
    Some(Box::new(PollReplay {
        settings: Arc::clone(call.settings),
        id: id.clone(),
        format,
        response_traits,
    }))
}

/// Returns the path to the channels, if no other setting depends on what differs between polls: the
/// cursor and the time. Every field is listed, so that adding a setting forces a decision here.
fn find_channels_path(settings: &LocationSettings) -> Option<&Expression> {
    let LocationSettings {
        channels_path,
        endpoint: Endpoint::Subscriber(_),
        // Settings of the cursor: `cursor::is_of_headers` checks them.
        last_received_message_time: _,
        last_received_message_tag: _,
        last_event_id: _,
        cursor_headers_as_fallback: _,
        // Evaluated for each poll.
        authorized_channels_only: _,
        wildcard_channel_max_qtd: _,
        allow_connections_to_events_channel: _,
        longpolling_connection_ttl: _,
        gap_notice: _,
        is_builtin: _,
        // Contained in the results of `long_polling::response_traits` and `long_polling::format`.
        header_template: _,
        footer_template: _,
        message_format: _,
        allowed_origins: _,
        gzip: _,
        types: _,
        slow_consumer: _,
        slow_consumer_bytes: _,
        // Settings of streams or publishers, or the same for all these requests.
        store_messages: _,
        channel_info_on_publish: _,
        ping_message_interval: _,
        subscriber_connection_ttl: _,
        websocket_allow_publish: _,
        user_agent: _,
        paddings: _,
        batch: _,
        client_max_body_size: _,
        proxy: _,
        // The router has checked it: a poll is cached only if they are the same for all requests
        // with this head.
        web: _,
    } = settings
    else {
        return None;
    };
    channels_path.as_ref()
}

impl PollReplay {
    /// Bytes of heap memory.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.id.len() + self.response_traits.content_type.len() + self.response_traits.added.len()
    }

    /// Responds to a poll with this date and tag; `None` if the poll must be routed.
    #[must_use]
    pub fn respond(
        &self,
        broker: &Broker,
        formats: &Formats,
        date: &[u8],
        tag: &[u8],
    ) -> Option<SubscribeReply> {
        let channel = broker.find(&self.id)?;
        check_subscribe_channel(&self.settings, broker, &self.id, Some(&channel)).ok()?;
        let cursor = cursor::of_headers(&self.settings, date, tag);
        let channels = smallvec![ChannelRequest::new(channel)];
        let cursor = resume::located(broker, cursor, &channels);
        match long_polling::backlog_state(&channels[0].channel, &cursor) {
            BacklogState::Messages(content) => {
                let (bytes, keeps) = formats.cached_response(&self.response_traits, content)?;
                Some(SubscribeReply::Prepared(bytes, keeps))
            }
            BacklogState::Nothing => {
                let format = self.format.clone();
                let subscription =
                    long_polling::subscription(&self.settings, format, channels, cursor);
                Some(SubscribeReply::Follow(Box::new(subscription), ()))
            }
            BacklogState::Gap => None,
        }
    }
}
