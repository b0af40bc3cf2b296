//! Memory charges of frames that wait for full sockets. A frame that many followers wait for is
//! charged once, and only when a socket does not accept it, so ordinary deliveries cost nothing.

use std::rc::{Rc, Weak};

use super::frame::PayloadFrame;
use crate::server::broker::{Broker, Charge, OutOfMemory};

/// Number of charges that can be shared. Followers that cannot accept a frame come one after the
/// other in its round, so a few suffice.
const MAX_CHARGES: usize = 8;

/// The newest charges of a shard, with the frames that they are for.
#[derive(Default)]
pub(super) struct PendingCharges {
    newest: Vec<(Weak<PayloadFrame>, Weak<Charge>)>,
    next: usize,
}

impl PendingCharges {
    /// Charges `frame` to the memory bound, or returns the charge of other followers that wait for
    /// the same frame.
    ///
    /// # Errors
    /// When the memory bound is reached.
    pub(super) fn charge(
        &mut self,
        frame: &Rc<PayloadFrame>,
        broker: &Broker,
    ) -> Result<Rc<Charge>, OutOfMemory> {
        let shared = self
            .newest
            .iter()
            .find(|(charged, _)| std::ptr::eq(charged.as_ptr(), Rc::as_ptr(frame)));
        if let Some(charge) = shared.and_then(|(_, charge)| charge.upgrade()) {
            return Ok(charge);
        }
        let charge = Rc::new(broker.memory().charge_pending(frame.capacity())?);
        // The weak reference keeps the allocation, so that its address cannot be reused for another
        // frame.
        let entry = (Rc::downgrade(frame), Rc::downgrade(&charge));
        if self.newest.len() < MAX_CHARGES {
            self.newest.push(entry);
        } else {
            self.newest[self.next] = entry;
            self.next = (self.next + 1) % MAX_CHARGES;
        }
        Ok(charge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::BrokerSettings;

    #[test]
    fn pending_bytes_of_many_followers_are_charged_once() {
        let settings = BrokerSettings {
            shared_memory_size: 1_000_000,
            ..BrokerSettings::default()
        };
        let broker = Broker::new(settings, 1, 1000).expect("there is room");
        let mut charges = PendingCharges::default();
        let frame = |length| Rc::new(PayloadFrame::unframed(vec![0; length]));
        let bytes = frame(400_000);
        let others = frame(500_000);
        let held: Vec<_> = (0..100)
            .map(|_| charges.charge(&bytes, &broker).expect("there is room once"))
            .collect();
        let used = broker.counters().memory_used();
        assert!((400_000..450_000).contains(&used), "{used}");
        let other = charges.charge(&others, &broker).expect("there is room");
        assert!(charges.charge(&frame(400_000), &broker).is_err());
        drop((held, other));
        assert_eq!(broker.counters().memory_used(), 0);
        assert!(
            charges.charge(&bytes, &broker).is_ok() && broker.counters().memory_used() == 0,
            "charged again, and free again"
        );
    }
}
