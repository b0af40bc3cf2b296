//! Long polls like one before them, with another cursor.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::smallvec;

use super::formats::PollResponseTraits;
use super::long_polling::{self, BacklogState};
use super::{
    Formats, SharedFormat, SubscribeCall, SubscribeReply, SubscriberMode, check_subscribe_channel,
    resume,
};
use crate::server::broker::Broker;
use crate::server::config::{Expression, LocationSettings};
use crate::server::dialect::push_stream::channels_path::{self, ChannelRef};
use crate::server::dialect::push_stream::cursor;
use crate::server::fanout::ChannelRequest;

/// What was found out about a poll, but for its cursor.
pub struct PollReplay {
    settings: Arc<LocationSettings>,
    /// Id of the channel.
    id: Bytes,
    format: SharedFormat,
    look: PollResponseTraits,
}

impl SubscribeCall<'_> {
    /// What answers polls with the same head but another date and tag in it, where nothing else
    /// depends on these; for a call that was not refused.
    #[must_use]
    pub fn replay(&self) -> Option<Box<PollReplay>> {
        let path = path_of_polls(self.settings)?;
        let is_poll = self.requested_mode() == SubscriberMode::LongPolling;
        if !is_poll
            || !path.uses_only_target()
            || !cursor::is_of_headers(self.settings, self.variables)
        {
            return None;
        }
        let path = path.evaluate(self.variables);
        let [
            ChannelRef {
                id,
                backtrack: None,
            },
        ] = &channels_path::parse(&path)[..]
        else {
            return None;
        };
        let look = long_polling::response_traits(self)?;
        let format = long_polling::format(self);
        Some(Box::new(PollReplay {
            settings: Arc::clone(self.settings),
            id: id.clone(),
            format,
            look,
        }))
    }
}

/// The path to the channels, where nothing else in these settings looks at what differs between
/// polls: their cursor, and the moment. All of them are named, so that whoever adds one has to
/// think of this.
fn path_of_polls(settings: &LocationSettings) -> Option<&Expression> {
    let LocationSettings {
        channels_path,
        nhpm: None,
        nchan: None,
        // They are about the cursor: `cursor::is_of_headers` looks at them.
        last_received_message_time: _,
        last_received_message_tag: _,
        last_event_id: _,
        cursor_headers_as_fallback: _,
        // They are looked at again for each poll.
        authorized_channels_only: _,
        wildcard_channel_max_qtd: _,
        allow_connections_to_events_channel: _,
        longpolling_connection_ttl: _,
        gap_notice: _,
        is_builtin: _,
        // `long_polling::response_traits` and `long_polling::format` keep them.
        header_template: _,
        footer_template: _,
        message_format: _,
        allowed_origins: _,
        gzip: _,
        types: _,
        slow_consumer: _,
        slow_consumer_bytes: _,
        // They are about streams, publishers, or what is the same in all these requests.
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
        // The router has looked at it: only where it is the same for all requests with this head is
        // a poll noted.
        web: _,
    } = settings
    else {
        return None;
    };
    channels_path.as_ref()
}

impl PollReplay {
    /// Bytes of memory that it keeps for itself.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.id.len() + self.look.content_type.len() + self.look.added.len()
    }

    /// Answers a poll with that date and tag; `None` where it has to be looked at as a whole.
    #[must_use]
    pub fn answer(
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
                let (bytes, keeps) = formats.cached_response(&self.look, content)?;
                Some(SubscribeReply::Prepared(bytes, keeps))
            }
            BacklogState::Nothing => {
                let format = self.format.clone();
                Some(SubscribeReply::Follow(Box::new(
                    long_polling::subscription(&self.settings, format, channels, cursor),
                )))
            }
            BacklogState::Gap => None,
        }
    }
}
