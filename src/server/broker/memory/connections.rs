//! Memory charges of connections and their subscriptions.

use std::sync::Arc;

use super::{Charge, MemoryMeter, OutOfMemory, Reservation, allocated, reserve_of};
use crate::server::broker::Inner;
use crate::server::broker::counters::Incident;

/// Memory of a connection: its task, its entry in the shard, the runtime's state of its socket.
/// Measured: 1,230 to 1,340 bytes with a subscription on one channel, by mode.
const CONNECTION_BYTES: u64 = 1216;

/// Additional memory of a connection while it has no subscription. Measured: 840 bytes more than
/// with a subscription, while it waits for its next request. A request that waits for its body uses
/// less than one step of a reservation.
const REQUESTS_BYTES: u64 = 960;

/// Memory of a subscription besides its connection.
const SUBSCRIPTION_BYTES: u64 = 64;

/// Memory per channel of a subscription. Measured: 14 bytes if the channel has other followers, 500
/// with the channel itself, which is charged separately.
const MEMBERSHIP_BYTES: u64 = 64;

/// The memory bounds of a broker: what connections charge to them.
#[derive(Clone, Copy, Debug)]
pub struct BrokerMemory<'a>(pub(in crate::server::broker) &'a Inner);

impl BrokerMemory<'_> {
    /// Charges a connection, whether it follows or not. Fails also if there is no room for its
    /// requests.
    ///
    /// # Errors
    /// When the memory bound and the reserve for connections are used up.
    pub fn charge_connection(&self) -> Result<Charge, OutOfMemory> {
        let _room = self.charge_requests()?;
        self.charge_connection_memory(CONNECTION_BYTES)
    }

    /// Charges a connection without a subscription for its requests.
    ///
    /// # Errors
    /// When the memory bound and the reserve for connections are used up.
    pub fn charge_requests(&self) -> Result<Charge, OutOfMemory> {
        self.charge_connection_memory(REQUESTS_BYTES)
    }

    fn charge_connection_memory(&self, bytes: u64) -> Result<Charge, OutOfMemory> {
        let meter = self.connection_meter();
        let charge = meter.charge_reserve(bytes, reserve_of(meter.limit()));
        charge.inspect_err(|_| self.0.incidents.count(Incident::NoMemoryForConnection))
    }

    /// The meter of connections and their pending bytes.
    fn connection_meter(&self) -> &Arc<MemoryMeter> {
        let connections = &self.0.connections;
        if connections.limit() > 0 {
            connections
        } else {
            &self.0.memory
        }
    }

    /// Charges a subscription on this number of channels, whose format retains `own` bytes of the
    /// request.
    ///
    /// # Errors
    /// When the memory bound is reached.
    pub fn charge_subscription(&self, channels: usize, own: usize) -> Result<Charge, OutOfMemory> {
        self.0.charge(
            SUBSCRIPTION_BYTES + MEMBERSHIP_BYTES.saturating_mul(channels as u64) + allocated(own),
        )
    }

    /// A reservation for the buffers of a connection. For incoming bodies, see
    /// [`BrokerMemory::incoming_reservation`].
    #[must_use]
    pub fn connection_reservation(&self) -> Reservation {
        Reservation::new(self.connection_meter())
    }

    /// A reservation for incoming bodies and websocket messages.
    #[must_use]
    pub fn incoming_reservation(&self) -> Reservation {
        Reservation::new(&self.0.incoming)
    }

    /// Charges a request that a connection caches to handle similar ones faster: to the bound of
    /// connections, and to the part of it that cached requests may use, so that they do not crowd
    /// out anything else.
    ///
    /// # Errors
    /// When either is used up.
    pub fn charge_cached_request(&self, bytes: usize) -> Result<[Charge; 2], OutOfMemory> {
        let bytes = allocated(bytes);
        Ok([
            self.0.cached_requests.charge(bytes)?,
            self.connection_meter().charge(bytes)?,
        ])
    }

    /// Charges bytes that wait for a subscriber's socket, or that a connection retains.
    ///
    /// # Errors
    /// When the memory bound is reached.
    pub fn charge_pending(&self, bytes: usize) -> Result<Charge, OutOfMemory> {
        self.connection_meter().charge(allocated(bytes))
    }
}
