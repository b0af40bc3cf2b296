//! The inbox of a shard: the list of channels with new messages, and the tasks whose publishes were
//! acknowledged.
//!
//! It needs no limit: a channel is in it at most once, which a bit of the channel records, and the
//! number of pending publishes has a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::channel::Channel;

/// Channels with new messages for one shard, in the order of arrival.
#[derive(Debug, Default)]
pub struct Inbox {
    content: Mutex<InboxContent>,
    reader: AtomicWaker,
    /// Set by `hold`: the holder reads the inbox itself, so `push` does not wake the reader.
    is_held: AtomicBool,
}

#[derive(Debug, Default)]
struct InboxContent {
    channels: Vec<Arc<Channel>>,
    /// Tasks to wake.
    acknowledged: Vec<Waker>,
}

impl Inbox {
    pub(super) fn push(&self, channel: Arc<Channel>) {
        let was_empty = {
            let mut content = self.content.lock();
            content.channels.push(channel);
            content.channels.len() == 1
        };
        // `release` checks the list afterwards, under the same lock, so at least one of the two
        // wakes the reader.
        if was_empty && !self.is_held.load(Ordering::Relaxed) {
            self.reader.wake();
        }
    }

    /// Adds tasks that the shard is to wake, and wakes the reader once for all of them.
    pub(super) fn push_acknowledged(&self, mut tasks: Vec<Waker>) {
        if tasks.is_empty() {
            return;
        }
        self.content.lock().acknowledged.append(&mut tasks);
        // As in `push`.
        if !self.is_held.load(Ordering::Relaxed) {
            self.reader.wake();
        }
    }

    /// Ready when the inbox is not empty. To be called from one task only, which [`Inbox::wake`]
    /// wakes.
    pub fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        self.reader.register(cx.waker());
        // Checked after registering: channels that were added before have not woken this waker.
        if self.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Wakes the reader, although the inbox may be empty.
    pub fn wake(&self) {
        self.reader.wake();
    }

    /// Suspends waking the reader until [`Inbox::release`], because the caller is going to read the
    /// inbox.
    pub fn hold(&self) {
        self.is_held.store(true, Ordering::Relaxed);
    }

    /// Ends [`Inbox::hold`]. Wakes the reader if the inbox is not empty.
    pub fn release(&self) {
        self.is_held.store(false, Ordering::Relaxed);
        if !self.is_empty() {
            self.reader.wake();
        }
    }

    /// True if no channel has new messages and no task is to be woken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let content = self.content.lock();
        content.channels.is_empty() && content.acknowledged.is_empty()
    }

    /// Takes all channels, in exchange for an empty list whose memory is reused. Wakes the tasks
    /// whose publishes were acknowledged. To be called on the thread of the shard.
    pub fn take(&self, into: &mut Vec<Arc<Channel>>) {
        into.clear();
        let acknowledged = {
            let mut content = self.content.lock();
            std::mem::swap(&mut content.channels, into);
            std::mem::take(&mut content.acknowledged)
        };
        acknowledged.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    use futures_util::task::{ArcWake, waker};

    use super::*;
    use crate::server::broker::Broker;
    use crate::server::config::BrokerSettings;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl ArcWake for Wakes {
        fn wake_by_ref(wakes: &Arc<Self>) {
            wakes.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn channels_pushed_while_held_are_taken_or_wake_the_reader() {
        const ROUNDS: usize = 20_000;
        let broker = Broker::new(
            BrokerSettings {
                shared_memory_size: 1 << 20,
                ..BrokerSettings::default()
            },
            1,
            0,
        )
        .expect("room");
        let channel = broker.find_or_create(&"a".into()).expect("room");
        let inbox = Inbox::default();
        let wakes = Arc::new(Wakes::default());
        let begin = Barrier::new(2);
        let end = Barrier::new(2);
        let waker = waker(Arc::clone(&wakes));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    begin.wait();
                    inbox.push(Arc::clone(&channel));
                    end.wait();
                }
            });
            let mut taken = Vec::new();
            for round in 0..ROUNDS {
                assert!(inbox.poll_ready(&Context::from_waker(&waker)).is_pending());
                let before = wakes.0.load(Ordering::SeqCst);
                inbox.hold();
                begin.wait();
                // With varying delays, so that the threads interleave at all points.
                (0..round % 64).for_each(|_| std::hint::spin_loop());
                inbox.take(&mut taken);
                inbox.release();
                end.wait();
                let was_woken = wakes.0.load(Ordering::SeqCst) > before;
                assert!(
                    inbox.is_empty() || was_woken,
                    "round {round}: the news would be lost"
                );
                inbox.take(&mut taken);
            }
        });
    }
}
