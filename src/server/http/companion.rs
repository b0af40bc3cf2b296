//! What goes on beside a subscription until the connection leaves it: events of nchan, and a line
//! in the list of those who are there.

use std::sync::Arc;

use super::backend::Backend;
use super::hooks::Notices;
use super::notices::Notice;
use crate::server::broker::{Broker, Charge, OutOfMemory, Presence};
use crate::server::dialect::nchan::events::{ChannelEvent, emit};
use crate::server::subscriber::SubscriberHooks;

/// A companion of a subscription that was opened.
pub(super) struct LiveCompanion {
    broker: Broker,
    dequeued: Option<ChannelEvent>,
    left: Option<(Arc<Backend>, Notice)>,
    _presence: Option<Presence>,
    _charge: Charge,
}

impl LiveCompanion {
    /// Begins; the subscription is open.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(super) fn begin(
        broker: &Broker,
        companion: SubscriberHooks,
        (backend, notices): (&Arc<Backend>, Notices),
    ) -> Result<Box<Self>, OutOfMemory> {
        let charge = broker.charge_pending(companion.own_bytes())?;
        let notice = |ask: Option<_>| ask.map_or(Ok(None), |ask| Notice::new(broker, ask));
        let came = notice(notices.came)?;
        let left = notice(notices.left)?;
        let presence = companion
            .info
            .map(|(line, channels)| broker.enter_presence(&line, channels))
            .transpose()?;
        emit(broker, companion.enqueued.as_ref());
        if let Some(came) = came {
            backend.tell(broker, came);
        }
        let left = left.map(|left| (Arc::clone(backend), left));
        Ok(Box::new(Self {
            broker: broker.clone(),
            dequeued: companion.dequeued,
            left,
            _presence: presence,
            _charge: charge,
        }))
    }
}

impl Drop for LiveCompanion {
    fn drop(&mut self) {
        emit(&self.broker, self.dequeued.as_ref());
        if let Some((backend, left)) = self.left.take() {
            backend.tell(&self.broker, left);
        }
    }
}
