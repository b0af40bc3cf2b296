//! The clock of a run: nanoseconds of the system's monotonic clock, the same in all processes, and
//! exact alarms. The timers of the runtime have a resolution of a millisecond, which would be
//! visible as latency; a sleeping thread is more exact.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

const SECOND: u64 = 1_000_000_000;

/// Current time in nanoseconds.
#[must_use]
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * SECOND + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Converts a duration to nanoseconds.
#[must_use]
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Converts nanoseconds to seconds.
#[must_use]
pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND as f64
}

/// Wakes tasks at exact times. Its thread ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Alarm {
    requests: Sender<ClockRequest>,
}

/// A task to wake and its time.
#[derive(Debug)]
struct ClockRequest {
    moment: u64,
    wake: oneshot::Sender<()>,
}

impl Alarm {
    /// Starts the thread.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be started.
    pub(super) fn new() -> anyhow::Result<Self> {
        let (requests, received) = channel();
        std::thread::Builder::new()
            .name("alarm".to_owned())
            .spawn(move || run_alarm(&received))
            .context("cannot start a thread for alarms")?;
        Ok(Self { requests })
    }

    /// Waits until `moment` of [`now`]; returns at once if it is over.
    pub(super) async fn wait_until(&self, moment: u64) {
        if moment <= now() {
            return;
        }
        let (wake, woken) = oneshot::channel();
        if self.requests.send(ClockRequest { moment, wake }).is_ok() {
            // Fails only if the thread has ended; then there is nothing to wait for.
            let _ = woken.await;
        }
    }
}

/// Runs the thread: waits for the earliest time, or for a request with an earlier one. Each
/// publisher has at most one request.
fn run_alarm(received: &Receiver<ClockRequest>) {
    let mut moments = BinaryHeap::new();
    let mut waiting = HashMap::<u64, Vec<oneshot::Sender<()>>>::new();
    loop {
        while let Some(Reverse(moment)) = moments
            .peek()
            .copied()
            .filter(|Reverse(moment)| *moment <= now())
        {
            moments.pop();
            for wake in waiting.remove(&moment).unwrap_or_default() {
                // The publisher may have been dropped.
                let _ = wake.send(());
            }
        }
        let pause = moments.peek().map_or(Duration::MAX, |Reverse(moment)| {
            Duration::from_nanos(moment.saturating_sub(now()))
        });
        match received.recv_timeout(pause) {
            Ok(ClockRequest { moment, wake }) => {
                moments.push(Reverse(moment));
                waiting.entry(moment).or_default().push(wake);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
