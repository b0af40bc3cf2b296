//! What goes on beside a subscription until the connection leaves it: events of nchan, and a line in the list of those who
//! are there.

use super::backend::{Ask, Backend};
use super::hooks::Notices;
use crate::server::broker::{Broker, Charge, OutOfMemory, Presence};
use crate::server::dialect::nchan::events::{Event, emit};
use crate::server::subscriber::Companion;

/// A companion of a subscription that was opened.
pub(super) struct LiveCompanion {
    broker: Broker,
    dequeued: Option<Event>,
    left: Option<(Backend, Ask)>,
    _presence: Option<Presence>,
    _charge: Charge,
}

impl LiveCompanion {
    /// Begins; the subscription is open.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(super) fn begin(broker: &Broker, companion: Companion, (backend, notices): (&Backend, Notices)) -> Result<Box<Self>, OutOfMemory> {
        // A request that waits for the end takes about as much as the head of the one that it was made of.
        let ask =
            notices.left.as_ref().map_or(0, |ask| ask.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum());
        let charge = broker.pending_share(companion.own_bytes() + ask)?;
        let presence = companion.info.map(|(line, channels)| broker.enter(&line, channels)).transpose()?;
        emit(broker, companion.enqueued.as_ref());
        if let Some(came) = notices.came {
            backend.tell(came);
        }
        let left = notices.left.map(|left| (backend.clone(), left));
        Ok(Box::new(Self { broker: broker.clone(), dequeued: companion.dequeued, left, _presence: presence, _charge: charge }))
    }
}

impl Drop for LiveCompanion {
    fn drop(&mut self) {
        emit(&self.broker, self.dequeued.as_ref());
        if let Some((backend, left)) = self.left.take() {
            backend.tell(left);
        }
    }
}
