//! Long polls like one before them, with another cursor.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::smallvec;

use super::formats::AnswerLook;
use super::long_polling::{self, Found};
use super::{Answer, Call, Formats, SharedFormat, SubscriberMode, may_subscribe};
use crate::server::broker::Broker;
use crate::server::config::LocationSettings;
use crate::server::dialect::push_stream::channels_path::{self, ChannelRef};
use crate::server::dialect::push_stream::cursor;
use crate::server::fanout::Wanted;

/// What was found out about a poll, but for its cursor.
pub struct PollAgain {
    settings: Arc<LocationSettings>,
    /// Id of the channel.
    id: Bytes,
    format: SharedFormat,
    look: AnswerLook,
}

impl Call<'_> {
    /// What answers polls with the same head but another date and tag in it, where nothing else depends on these; for a call that
    /// was not refused.
    #[must_use]
    pub fn again(&self) -> Option<Box<PollAgain>> {
        let (settings, path) = (self.settings, self.settings.channels_path.as_ref()?);
        let is_poll = settings.nhpm.is_none() && settings.nchan.is_none() && self.requested_mode() == SubscriberMode::LongPolling;
        if !is_poll || !path.is_of_target() || !cursor::is_of_headers(settings, self.variables) {
            return None;
        }
        let path = path.evaluate(self.variables);
        let [ChannelRef { id, backtrack: None }] = &channels_path::parse(&path)[..] else { return None };
        let (look, format) = (long_polling::look(self)?, long_polling::format(self));
        Some(Box::new(PollAgain { settings: Arc::clone(settings), id: id.clone(), format, look }))
    }
}

impl PollAgain {
    /// Bytes of memory that it keeps for itself.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.id.len() + self.look.content_type.len()
    }

    /// Answers a poll with that date and tag; `None` where it has to be looked at as a whole.
    #[must_use]
    pub fn answer(&self, broker: &Broker, formats: &Formats, date: &[u8], tag: &[u8]) -> Option<Answer> {
        let channel = broker.find(&self.id)?;
        may_subscribe(&self.settings, broker, &self.id, Some(&channel)).ok()?;
        let cursor = cursor::of_headers(&self.settings, date, tag);
        match long_polling::found(&channel, &cursor) {
            Found::Messages(content) => {
                let (bytes, keeps) = formats.known_answer(&self.look, content)?;
                Some(Answer::Prepared(bytes, keeps))
            }
            Found::Nothing => {
                let (channels, format) = (smallvec![Wanted::new(channel)], self.format.clone());
                Some(Answer::Follow(Box::new(long_polling::subscription(&self.settings, format, channels, cursor))))
            }
            Found::Gap => None,
        }
    }
}
