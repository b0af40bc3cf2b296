//! The messages received by one subscriber: counts lost, duplicated and reordered ones. Does no
//! I/O.
//!
//! A message is *lost* if it did not arrive, *duplicated* if it had arrived before, and *reordered*
//! if it arrived after a later one of the same publisher, or with a smaller message id than one
//! before. Each publisher waits for the server's response before its next message, so the order of
//! its messages is certain; between publishers it is the order of the server's ids.

/// The ledger of one subscriber.
#[derive(Clone, Debug, Default)]
pub struct DeliveryLedger {
    publishers: Vec<PublisherSequence>,
    last_id: u64,
    received: u64,
    duplicated: u64,
    reordered: u64,
}

/// The numbers received from one publisher.
#[derive(Clone, Debug, Default)]
struct PublisherSequence {
    /// Number after the greatest one received.
    next: u32,
    /// Numbers below `next` that have not arrived, as half-open ranges.
    missing: Vec<(u32, u32)>,
}

impl DeliveryLedger {
    /// Records a message.
    pub fn record(&mut self, publisher: usize, sequence: u32, id: Option<u64>) {
        if self.publishers.len() <= publisher {
            self.publishers
                .resize_with(publisher + 1, PublisherSequence::default);
        }
        let expected = &mut self.publishers[publisher];
        let mut is_late = false;
        if sequence >= expected.next {
            if sequence > expected.next {
                expected.missing.push((expected.next, sequence));
            }
            expected.next = sequence + 1;
        } else if expected.fill(sequence) {
            is_late = true;
        } else {
            self.duplicated += 1;
            return;
        }
        is_late |= id.is_some_and(|id| id < self.last_id);
        self.last_id = self.last_id.max(id.unwrap_or(0));
        self.reordered += u64::from(is_late);
        self.received += 1;
    }

    /// Number of distinct messages received.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Number of messages that arrived more than once.
    #[must_use]
    pub fn duplicated(&self) -> u64 {
        self.duplicated
    }

    /// Number of messages that arrived too late.
    #[must_use]
    pub fn reordered(&self) -> u64 {
        self.reordered
    }
}

impl PublisherSequence {
    /// Removes a number from the missing ones; false if it was not missing.
    fn fill(&mut self, sequence: u32) -> bool {
        let Some(at) = self
            .missing
            .iter()
            .position(|(from, to)| (*from..*to).contains(&sequence))
        else {
            return false;
        };
        let (from, to) = self.missing.swap_remove(at);
        self.missing.extend(
            [(from, sequence), (sequence + 1, to)]
                .into_iter()
                .filter(|(from, to)| from < to),
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(messages: &[(usize, u32, u64)]) -> (u64, u64, u64) {
        let mut ledger = DeliveryLedger::default();
        for (publisher, sequence, id) in messages {
            ledger.record(*publisher, *sequence, (*id > 0).then_some(*id));
        }
        (ledger.received(), ledger.duplicated(), ledger.reordered())
    }

    #[test]
    fn order_of_publication_is_good_for_any_publisher() {
        assert_eq!(
            counts(&[(0, 0, 1), (1, 0, 2), (1, 1, 3), (0, 1, 4)]),
            (4, 0, 0)
        );
        assert_eq!(
            counts(&[(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]),
            (4, 0, 0)
        );
    }

    #[test]
    fn lost_duplicated_and_reordered_are_counted_separately() {
        assert_eq!(counts(&[(0, 0, 1), (0, 2, 3)]), (2, 0, 0), "1 is lost");
        assert_eq!(
            counts(&[(0, 0, 1), (0, 2, 3), (0, 1, 2)]),
            (3, 0, 1),
            "1 is late"
        );
        assert_eq!(
            counts(&[(0, 0, 1), (0, 1, 2), (0, 0, 1), (0, 1, 2)]),
            (2, 2, 0),
            "both came again"
        );
        assert_eq!(
            counts(&[(0, 5, 0), (0, 2, 0), (0, 2, 0), (0, 0, 0)]),
            (3, 1, 2)
        );
        assert_eq!(
            counts(&[(0, 0, 2), (1, 0, 1)]),
            (2, 0, 1),
            "the server's order was another"
        );
    }
}
