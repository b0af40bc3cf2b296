//! Hooks of a subscription, from its start to its end: events of nchan, notices to back-ends, and
//! an entry in the list of present subscribers.

use std::sync::Arc;

use super::backend::BackendClient;
use super::hooks::Notices;
use super::notices::Notice;
use crate::server::broker::{Broker, Charge, OutOfMemory, Presence};
use crate::server::nchan::events::{ChannelEvent, emit};
use crate::server::nchan::subscribe::SubscriberHooks;

/// Hooks of an open subscription. Dropping them reports its end.
pub(in crate::server) struct LiveHooks {
    broker: Broker,
    dequeued: Option<ChannelEvent>,
    unsubscribed: Option<(Arc<BackendClient>, Notice)>,
    _presence: Option<Presence>,
    _charge: Charge,
}

impl LiveHooks {
    /// Reports the start of an open subscription.
    ///
    /// # Errors
    /// When the memory bound has no room for the hooks.
    pub(in crate::server) fn begin(
        broker: &Broker,
        hooks: SubscriberHooks,
        backend: &Arc<BackendClient>,
        notices: Notices,
    ) -> Result<Box<Self>, OutOfMemory> {
        let charge = broker.memory().charge_pending(hooks.own_bytes())?;
        let prepare = |call: Option<_>| call.map_or(Ok(None), |call| Notice::new(broker, call));
        let subscribed = prepare(notices.subscribed)?;
        let unsubscribed = prepare(notices.unsubscribed)?;
        let presence = hooks
            .info
            .map(|(line, channels)| broker.presence().enter_presence(&line, channels))
            .transpose()?;
        emit(broker, hooks.enqueued.as_ref());
        if let Some(notice) = subscribed {
            backend.send_notice(broker, notice);
        }
        let unsubscribed = unsubscribed.map(|notice| (Arc::clone(backend), notice));
        Ok(Box::new(Self {
            broker: broker.clone(),
            dequeued: hooks.dequeued,
            unsubscribed,
            _presence: presence,
            _charge: charge,
        }))
    }
}

impl Drop for LiveHooks {
    fn drop(&mut self) {
        emit(&self.broker, self.dequeued.as_ref());
        if let Some((backend, notice)) = self.unsubscribed.take() {
            backend.send_notice(&self.broker, notice);
        }
    }
}
