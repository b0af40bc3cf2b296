//! The clock of a run: nanoseconds of the system's monotonic clock, the same in all its processes,
//! and alarms that go off at one of them. The runtime's own timers are exact to a millisecond only,
//! which would show as latency; a thread's are not.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

const SECOND: u64 = 1_000_000_000;

/// Now, in nanoseconds.
#[must_use]
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * SECOND + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Nanoseconds of a duration.
#[must_use]
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds of so many nanoseconds.
#[must_use]
pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND as f64
}

/// Wakes tasks at exact moments. Its thread ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Alarm {
    requests: Sender<Request>,
}

/// Who wants to be woken, and when.
#[derive(Debug)]
struct Request {
    moment: u64,
    wake: oneshot::Sender<()>,
}

impl Alarm {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread for us.
    pub(super) fn new() -> anyhow::Result<Self> {
        let (requests, received) = channel();
        std::thread::Builder::new()
            .name("alarm".to_owned())
            .spawn(move || keep(&received))
            .context("cannot start a thread for alarms")?;
        Ok(Self { requests })
    }

    /// Returns at `moment` of [`now`]; at once if it is over.
    pub(super) async fn at(&self, moment: u64) {
        if moment <= now() {
            return;
        }
        let (wake, woken) = oneshot::channel();
        if self.requests.send(Request { moment, wake }).is_ok() {
            // It only fails when the thread is gone, and then nobody is to wait.
            let _ = woken.await;
        }
    }
}

/// The thread: the earliest moment is waited for, unless an earlier one is asked for. There is one
/// request per publisher at most.
fn keep(received: &Receiver<Request>) {
    let (mut moments, mut waiting) = (
        BinaryHeap::new(),
        std::collections::HashMap::<u64, Vec<oneshot::Sender<()>>>::new(),
    );
    loop {
        while let Some(Reverse(moment)) = moments
            .peek()
            .copied()
            .filter(|Reverse(moment)| *moment <= now())
        {
            moments.pop();
            for wake in waiting.remove(&moment).unwrap_or_default() {
                // A publisher may have been given up meanwhile.
                let _ = wake.send(());
            }
        }
        let pause = moments.peek().map_or(Duration::MAX, |Reverse(moment)| {
            Duration::from_nanos(moment.saturating_sub(now()))
        });
        match received.recv_timeout(pause) {
            Ok(Request { moment, wake }) => {
                moments.push(Reverse(moment));
                waiting.entry(moment).or_default().push(wake);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
