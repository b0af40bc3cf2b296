//! The number of pending notices of a shard: limited while it runs, awaited when it stops.

use tokio::sync::watch;

/// Number of pending notices of a shard, across reloads.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct PendingNotices(watch::Sender<usize>);

/// A pending notice; counted until it is dropped.
pub(super) struct PendingNotice(PendingNotices);

impl PendingNotices {
    /// Waits until none is pending.
    pub(in crate::server) async fn wait_until_empty(&self) {
        // Cannot fail: the sender is `self`.
        drop(self.0.subscribe().wait_for(|count| *count == 0).await);
    }

    /// Number of pending notices.
    pub(in crate::server) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Counts another one, if fewer than `max` are pending.
    pub(super) fn enter(&self, max: usize) -> Option<PendingNotice> {
        self.0
            .send_if_modified(|count| {
                let has_room = *count < max;
                *count += usize::from(has_room);
                has_room
            })
            .then(|| PendingNotice(self.clone()))
    }
}

impl Drop for PendingNotice {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pending_notices_are_bounded_and_waited_for() {
        let notices = PendingNotices::default();
        let first = notices.enter(2).expect("there is room");
        let second = notices.enter(2).expect("there is room");
        assert!(notices.enter(2).is_none() && notices.count() == 2);
        drop(first);
        let third = notices.enter(2).expect("there is room again");
        let waits = tokio::spawn({
            let notices = notices.clone();
            async move { notices.wait_until_empty().await }
        });
        drop((second, third));
        waits.await.expect("no panic");
    }
}
