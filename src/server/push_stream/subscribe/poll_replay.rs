//! Replay of long polls that differ from an earlier one only in their cursor; `http::replay` finds
//! the cursor.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::smallvec;

use super::long_polling;
use super::long_polling::BacklogState;
use super::{SubscriberMode, check_subscribe_channel, requested_mode, resume};
use crate::server::access::grant::Grant;
use crate::server::broker::{Broker, Ticket};
use crate::server::config::{Endpoint, LocationSettings, Variables};
use crate::server::endpoint::formats::Formats;
use crate::server::endpoint::formats::PollResponseTraits;
use crate::server::endpoint::formats::SharedFormat;
use crate::server::endpoint::{SubscribeCall, SubscribeReply};
use crate::server::fanout::{ChannelRequest, Subscription};
use crate::server::push_stream::channels_path;
use crate::server::push_stream::channels_path::ChannelRef;
use crate::server::push_stream::cursor::{CursorPlace, HEADERS};

/// A poll without its cursor.
pub struct PollReplay {
    grant: Grant,
    settings: Arc<LocationSettings>,
    /// Id of the channel.
    id: Bytes,
    format: SharedFormat,
    keeps_connection: bool,
    response_traits: PollResponseTraits,
    place: CursorPlace,
}

impl PollReplay {
    /// Returns what responds to polls with the same head but another date and tag, as long as the
    /// configuration reads these only as the cursor. The call must have been accepted.
    #[must_use]
    pub fn of(call: &SubscribeCall<'_>) -> Option<Self> {
        let is_poll = matches!(call.settings.endpoint, Endpoint::Subscriber(_))
            && requested_mode(call) == SubscriberMode::LongPolling;
        if !is_poll {
            return None;
        }
        let place = CursorPlace::of(call.settings, call.variables)?;
        // With `underscores_in_headers`, another header may be the one that is read.
        let is_same = |name: &&str| call.variables.header(name) == call.request.header(name);
        if place == CursorPlace::Headers && !HEADERS.iter().all(is_same) {
            return None;
        }
        let path = call.settings.channels_path.as_ref()?;
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
        Some(Self {
            grant: call.grant,
            settings: Arc::clone(call.settings),
            id: id.clone(),
            format: long_polling::format(call),
            keeps_connection: long_polling::keeps_connection(call.waiting_wire().connection),
            response_traits: long_polling::response_traits(call)?,
            place,
        })
    }

    /// The place of the cursor.
    #[must_use]
    pub fn place(&self) -> &CursorPlace {
        &self.place
    }

    /// Bytes of heap memory.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.id.len()
            + self.response_traits.content_type.len()
            + self.response_traits.added.byte_len()
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
        let Ticket::Ready(Ok(())) = broker.open(&channel) else {
            return None;
        };
        check_subscribe_channel(&self.grant, broker, &self.id, Some(&channel)).ok()?;
        let cursor = self.place.read(&self.settings, date, tag);
        let channels = smallvec![ChannelRequest::new(channel)];
        let cursor = resume::located(broker, cursor, &channels);
        match long_polling::backlog_state(&channels[0].channel, &cursor) {
            BacklogState::Messages(content) => {
                let cached = formats.cached_response(&self.response_traits, content);
                cached.map(SubscribeReply::Prepared)
            }
            BacklogState::Nothing => {
                let format = self.format.clone();
                let subscription = Subscription {
                    keeps_connection: self.keeps_connection,
                    ..long_polling::subscription(&self.settings, format, channels, cursor)
                };
                Some(SubscribeReply::Follow(Box::new(subscription), ()))
            }
            BacklogState::Gap => None,
        }
    }
}
