//! Publishing: appends a message to its channel and notifies the shards that follow it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::channel::{Channel, ChannelInfo};
use super::log::AppendOptions;
use super::message::{Message, NewMessage};
use super::{Broker, CreateError, StoreOptions};

impl Broker {
    /// Publishes to `channel`, or to its successor with the same id if it was deleted. Returns the
    /// state of the channel with the message.
    ///
    /// # Errors
    /// When a limit on channels or memory is reached. Nothing was published then, and no message id
    /// was used.
    pub fn publish(
        &self,
        channel: &Arc<Channel>,
        message: NewMessage,
        store: bool,
    ) -> Result<ChannelInfo, CreateError> {
        self.publish_with(channel, message, StoreOptions::new(store))
    }

    /// Publishes with options for storing the message.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub fn publish_with(
        &self,
        channel: &Arc<Channel>,
        message: NewMessage,
        options: StoreOptions,
    ) -> Result<ChannelInfo, CreateError> {
        let info = self.append(channel, message, options)?;
        self.0.counters.published.fetch_add(1, Ordering::Relaxed);
        if options.store {
            self.0.counters.stored.fetch_add(1, Ordering::Relaxed);
        } else {
            self.0.trash.lock().add_messages(1);
        }
        Ok(info)
    }

    pub(super) fn append(
        &self,
        channel: &Arc<Channel>,
        mut message: NewMessage,
        options: StoreOptions,
    ) -> Result<ChannelInfo, CreateError> {
        let settings = self.settings();
        let accounting = settings.memory_accounting;
        let max_stored = [settings.max_messages_stored_per_channel, options.max_stored]
            .into_iter()
            .flatten()
            .min();
        drop(settings);
        let append_options = AppendOptions {
            store: options.store,
            keep_live: false,
            max_stored: max_stored
                .map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX)),
            takes_channel_tag: options.store || options.takes_channel_tag,
            max_live_bytes: 0,
        };
        let mut successor = None;
        loop {
            let channel = successor.as_ref().unwrap_or(channel);
            let charge = self.0.charge(Message::footprint(&message, accounting))?;
            match channel.append(append_options, message, charge, &self.0.clock) {
                Ok(appended) => {
                    self.0.notify_shards(channel, appended.followed_on);
                    self.count_dropped(channel, appended.dropped);
                    return Ok(appended.info);
                }
                Err(unpublished) => message = unpublished,
            }
            successor = Some(self.find_or_create(&channel.id)?);
        }
    }
}
