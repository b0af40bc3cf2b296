//! Publishing: appends a message to its channel and notifies the shards that follow it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::channel::{Channel, ChannelInfo};
#[cfg(debug_assertions)]
use super::engine::EngineRequest;
use super::engine::{Engine, Ticket, Tickets};
use super::log::AppendOptions;
use super::message::{Message, NewMessage};
use super::{Broker, CreateError, PublishError, StoreOptions};

impl Broker {
    /// Publishes to `channel`, or to its successor with the same id if it was deleted. The ticket
    /// has the state of the channel with the message. After an error other than
    /// [`PublishError::Unacknowledged`] nothing was published, and no message id was used.
    pub fn publish(
        &self,
        channel: &Arc<Channel>,
        message: NewMessage,
        options: StoreOptions,
    ) -> Ticket {
        match &self.0.engine {
            Engine::Memory => Ticket::Ready(
                self.append(channel, message, options)
                    .map_err(PublishError::Rejected),
            ),
            #[cfg(debug_assertions)]
            Engine::Test(engine) => {
                let request = EngineRequest::Publish(message.text.len());
                let channel = Arc::clone(channel);
                engine.submit(self, &channel.id.clone(), request, move |broker| {
                    Ok(broker.append(&channel, message, options)?)
                })
            }
        }
    }

    /// Publishes to each of these channels, without a copy for the last one.
    pub fn publish_to_all(
        &self,
        channels: &[Arc<Channel>],
        message: NewMessage,
        options: StoreOptions,
    ) -> Tickets {
        let tickets = message
            .for_each(channels)
            .map(|(channel, message)| self.publish(channel, message, options));
        Tickets::collect(tickets)
    }

    /// Opens a channel for readers: its log has to contain what the engine keeps. Ready if it does.
    #[cfg_attr(
        not(debug_assertions),
        expect(unused_variables, reason = "the memory engine has nothing to fill")
    )]
    pub fn open(&self, channel: &Arc<Channel>) -> Ticket<()> {
        match &self.0.engine {
            Engine::Memory => Ticket::Ready(Ok(())),
            #[cfg(debug_assertions)]
            Engine::Test(_) if channel.is_open() => Ticket::Ready(Ok(())),
            #[cfg(debug_assertions)]
            Engine::Test(engine) => {
                let opened = Arc::clone(channel);
                let work = move |_: &Broker| {
                    opened.set_open();
                    Ok(())
                };
                engine.submit(self, &channel.id, EngineRequest::Open, work)
            }
        }
    }

    /// Opens a channel that was created for one reader, of which the engine keeps nothing.
    #[cfg_attr(
        not(debug_assertions),
        expect(unused_variables, reason = "the memory engine has nothing to fill")
    )]
    pub fn open_new(&self, channel: &Channel) {
        match &self.0.engine {
            Engine::Memory => {}
            #[cfg(debug_assertions)]
            Engine::Test(_) => channel.set_open(),
        }
    }

    /// Publishes an event of the broker without waiting for its acknowledgement.
    pub(super) fn publish_event(
        &self,
        events: &Arc<Channel>,
        message: NewMessage,
    ) -> Result<(), PublishError> {
        #[cfg(debug_assertions)]
        if let Engine::Test(engine) = &self.0.engine
            && engine.delays_events()
        {
            let request = EngineRequest::Event(message.text.len());
            let channel = Arc::clone(events);
            let ticket = engine.submit(self, &events.id, request, move |broker| {
                Ok(broker.append(&channel, message, StoreOptions::new(true))?)
            });
            return ticket.detach();
        }
        self.append(events, message, StoreOptions::new(true))?;
        Ok(())
    }

    /// Appends a message to the log of its channel and notifies the shards that follow it.
    fn append(
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
                    // Counted first: a follower may ask for the counters as soon as it has the
                    // message. Events are not counted.
                    if !channel.is_events {
                        self.count_published(options.store);
                    }
                    self.0.notify_shards(channel, appended.followed_on);
                    self.count_dropped(channel, appended.dropped);
                    return Ok(appended.info);
                }
                Err(unpublished) => message = unpublished,
            }
            successor = Some(self.find_or_create(&channel.id)?);
        }
    }

    fn count_published(&self, is_stored: bool) {
        self.0.counters.published.fetch_add(1, Ordering::Relaxed);
        if is_stored {
            self.0.counters.stored.fetch_add(1, Ordering::Relaxed);
        } else {
            self.0.trash.lock().add_messages(1);
        }
    }
}
