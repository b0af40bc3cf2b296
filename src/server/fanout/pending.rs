//! What waits for full sockets, and who pays for it: bytes that many followers wait for are charged
//! to the memory bound once, and only when a socket does not take them, so that an ordinary
//! delivery costs nothing here.

use std::rc::{Rc, Weak};

use crate::server::broker::{Broker, Charge, OutOfMemory};

/// Shares that are remembered; followers that cannot take a frame come one after the other, in its
/// round.
const REMEMBERED: usize = 8;

/// The newest shares of bytes that wait.
#[derive(Default)]
pub(super) struct PendingShares {
    newest: Vec<(Weak<Vec<u8>>, Weak<Charge>)>,
    next: usize,
}

impl PendingShares {
    /// The share of `bytes`: the one that others have who wait for the same, or a new one.
    ///
    /// # Errors
    /// When the memory bound is reached.
    pub(super) fn of(
        &mut self,
        bytes: &Rc<Vec<u8>>,
        broker: &Broker,
    ) -> Result<Rc<Charge>, OutOfMemory> {
        let known = self
            .newest
            .iter()
            .find(|(known, _)| std::ptr::eq(known.as_ptr(), Rc::as_ptr(bytes)));
        if let Some(share) = known.and_then(|(_, share)| share.upgrade()) {
            return Ok(share);
        }
        let share = Rc::new(broker.pending_share(bytes.capacity())?);
        // The address stays that of these bytes, because it is held.
        let entry = (Rc::downgrade(bytes), Rc::downgrade(&share));
        if self.newest.len() < REMEMBERED {
            self.newest.push(entry);
        } else {
            self.newest[self.next] = entry;
            self.next = (self.next + 1) % REMEMBERED;
        }
        Ok(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::BrokerSettings;

    #[test]
    fn bytes_that_many_wait_for_are_charged_once() {
        let settings = BrokerSettings {
            shared_memory_size: 1_000_000,
            ..BrokerSettings::default()
        };
        let broker = Broker::new(settings, 1, 1000).expect("there is room");
        let mut shares = PendingShares::default();
        let bytes = Rc::new(vec![0; 400_000]);
        let others = Rc::new(vec![1; 500_000]);
        let held: Vec<_> = (0..100)
            .map(|_| shares.of(&bytes, &broker).expect("there is room once"))
            .collect();
        let used = broker.memory_used();
        assert!((400_000..450_000).contains(&used), "{used}");
        let other = shares.of(&others, &broker).expect("there is room");
        assert!(shares.of(&Rc::new(vec![2; 400_000]), &broker).is_err());
        drop((held, other));
        assert_eq!(broker.memory_used(), 0);
        assert!(
            shares.of(&bytes, &broker).is_ok() && broker.memory_used() == 0,
            "charged again, and free again"
        );
    }
}
