//! What goes on beside a subscription until the connection leaves it: events of nchan, and a line in the list of those who
//! are there.

use crate::server::broker::{Broker, Charge, OutOfMemory, Presence};
use crate::server::dialect::nchan::events::{Event, emit};
use crate::server::subscriber::Companion;

/// A companion of a subscription that was opened.
pub(super) struct LiveCompanion {
    broker: Broker,
    dequeued: Option<Event>,
    _presence: Option<Presence>,
    _charge: Charge,
}

impl LiveCompanion {
    /// Begins; the subscription is open.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(super) fn begin(broker: &Broker, companion: Companion) -> Result<Box<Self>, OutOfMemory> {
        let charge = broker.pending_share(companion.own_bytes())?;
        let presence = companion.info.map(|(line, channels)| broker.enter(&line, channels)).transpose()?;
        emit(broker, companion.enqueued.as_ref());
        Ok(Box::new(Self { broker: broker.clone(), dequeued: companion.dequeued, _presence: presence, _charge: charge }))
    }
}

impl Drop for LiveCompanion {
    fn drop(&mut self) {
        emit(&self.broker, self.dequeued.as_ref());
    }
}
