//! Housekeeping: expiry of messages, collection and deletion of channels, the trash, and the events
//! about them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use super::channel::{Channel, ChannelInfo, ChannelState, Lifecycle};
#[cfg(debug_assertions)]
use super::engine::EngineRequest;
use super::engine::{Engine, Ticket};
use super::memory::{self, OutOfMemory};
use super::{Broker, Inner, NewMessage};
use crate::message::unix_now;

impl Broker {
    /// Empties the trash, expires messages, collects idle channels and returns unused memory to the
    /// system. To be called every [`super::TICK`].
    pub fn tick(&self) {
        let deleted = self.0.trash.lock().sweep();
        for channel in deleted {
            self.0
                .counters
                .stored
                .fetch_sub(channel.stored as i64, Ordering::Relaxed);
            if let Some((id, _charge)) = channel.id {
                self.emit("channel_destroyed", &id);
            }
        }
        self.0.groups.sweep();
        let newest_expired = unix_now().saturating_sub(self.settings().message_ttl.as_secs());
        // Filtered first: most channels need nothing, and sorting ten thousand of them takes longer
        // than checking them.
        let needs_sweep = |channel: &Channel| {
            let state = channel.lock();
            state.log.needs_sweep(newest_expired) || self.0.is_idle(&state)
        };
        for channel in self.0.registry.list(needs_sweep) {
            self.sweep(&channel, newest_expired);
        }
        let meters = [&self.0.memory, &self.0.connections, &self.0.incoming];
        let metered = meters.map(|meter| meter.used()).iter().sum();
        self.0.resident.return_unused(metered);
    }

    pub(super) fn sweep(&self, channel: &Arc<Channel>, newest_expired: u64) {
        let (expired, idle) = {
            let mut state = channel.lock();
            (state.log.expire(newest_expired), self.0.is_idle(&state))
        };
        if expired > 0 && !channel.is_events {
            self.0
                .counters
                .stored
                .fetch_sub(expired as i64, Ordering::Relaxed);
            self.0.trash.lock().add_messages(expired as u64);
        }
        if !idle || channel.is_events {
            return;
        }
        let collected = self.0.registry.remove_if(&channel.id, |current| {
            let mut state = current.lock();
            let idle = Arc::ptr_eq(current, channel) && self.0.is_idle(&state);
            if idle {
                state.lifecycle = Lifecycle::Collected(self.0.clock.now());
                state.leave_group();
            }
            idle
        });
        if collected.is_some() {
            self.0
                .channel_counter(channel.is_wildcard)
                .fetch_sub(1, Ordering::Relaxed);
            self.0.trash.lock().add_channel();
            self.emit("channel_destroyed", &channel.id);
        }
    }

    /// Deletes a channel and notifies its followers with `text`, or with the configured text. The
    /// ticket has false if there is no such channel.
    ///
    /// It is rejected when there is no memory for the text; the channel then stays. The configured
    /// text always fits, because deleting is how memory is freed.
    pub fn delete(&self, id: &Bytes, text: Option<Bytes>) -> Ticket<bool> {
        match &self.0.engine {
            Engine::Memory => Ticket::Ready(self.delete_locally(id, text).map_err(Into::into)),
            #[cfg(debug_assertions)]
            Engine::Test(engine) => {
                let deleted = id.clone();
                engine.submit(self, id, EngineRequest::Delete, move |broker| {
                    Ok(broker.delete_locally(&deleted, text)?)
                })
            }
        }
    }

    /// Deletes a channel and leaves an empty successor that continues its tags. The ticket has the
    /// state of the deleted channel; `None` if there was none.
    ///
    /// It is rejected when there is no memory for the successor. The channel is deleted
    /// nevertheless.
    pub fn delete_and_recreate(&self, id: &Bytes) -> Ticket<Option<ChannelInfo>> {
        match &self.0.engine {
            Engine::Memory => Ticket::Ready(self.requests().recreate(id).map_err(Into::into)),
            #[cfg(debug_assertions)]
            Engine::Test(engine) => {
                let deleted = id.clone();
                engine.submit(self, id, EngineRequest::Delete, move |broker| {
                    Ok(broker.requests().recreate(&deleted)?)
                })
            }
        }
    }

    pub(super) fn delete_locally(
        &self,
        id: &[u8],
        text: Option<Bytes>,
    ) -> Result<bool, OutOfMemory> {
        let (text, charge) = match text {
            Some(text) => {
                let charge = self.0.charge(memory::allocated(text.len()))?;
                (text, charge)
            }
            // All channels share it, so it takes no memory and succeeds however full the server is.
            None => (
                self.settings().channel_deleted_message_text.clone(),
                self.0.memory.charge_reserve(0, u64::MAX)?,
            ),
        };
        let mut stored = 0;
        let mut followed_on = 0;
        // The position is taken before there can be a successor, whose messages then come after the
        // end of this channel.
        let removed = self.0.registry.remove_if(id, |channel| {
            if channel.is_events {
                return false;
            }
            let mut state = channel.lock();
            state.lifecycle = Lifecycle::Deleted(self.0.clock.now(), text, charge);
            state.leave_group();
            (stored, followed_on) = (state.log.stored_count(), state.followed_on());
            true
        });
        let Some(channel) = removed else {
            return Ok(false);
        };
        self.0
            .channel_counter(channel.is_wildcard)
            .fetch_sub(1, Ordering::Relaxed);
        // Ids wait in the trash until the next tick. Without memory for the id, the event is
        // omitted.
        let charge = self
            .0
            .memory
            .charge(Channel::footprint(
                &channel.id,
                self.settings().memory_accounting,
            ))
            .ok();
        self.0
            .trash
            .lock()
            .add_deleted_channel(charge.map(|charge| (channel.id.clone(), charge)), stored);
        self.0.notify_shards(&channel, followed_on);
        Ok(true)
    }

    pub(super) fn emit_for(&self, channel: &Channel, event: &'static str) {
        if !channel.is_events {
            self.emit(event, &channel.id);
        }
    }

    /// Publishes an event on the events channel (push-stream.md, section 13), if there is one.
    pub(super) fn emit(&self, event: &'static str, id: &[u8]) {
        let Some(events) = &self.0.events else { return };
        // Escaped, so that no id can forge fields. Serializing a string cannot fail.
        let id = serde_json::to_string(&String::from_utf8_lossy(id)).unwrap_or_default();
        let text = format!("{{\"type\": \"{event}\", \"channel\": {id}}}").into_bytes();
        let message = NewMessage {
            text: Bytes::from(text),
            event_id: None,
            event_type: Some(Bytes::from_static(event.as_bytes())),
            ..NewMessage::default()
        };
        if let Err(error) = self.publish_event(events, message) {
            tracing::debug!(event, %error, "cannot publish an event");
        }
    }

    pub(super) fn count_dropped(&self, channel: &Channel, count: usize) {
        if count > 0 && !channel.is_events {
            self.0
                .counters
                .stored
                .fetch_sub(count as i64, Ordering::Relaxed);
            self.0.trash.lock().add_messages(count as u64);
        }
    }
}

impl Inner {
    fn is_idle(&self, state: &ChannelState) -> bool {
        let is_over = || match state.kept_until {
            Some(until) => until < Instant::now(),
            None => state.active_at.elapsed() > self.settings.load().channel_inactivity_time,
        };
        state.subscriptions == 0 && state.log.stored_count() == 0 && is_over()
    }
}
