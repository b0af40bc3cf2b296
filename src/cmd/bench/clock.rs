//! The clock of a run: nanoseconds of the system's monotonic clock, the same in all its processes, and an alarm that goes off
//! at one of them. The runtime's own timers are exact to a millisecond only, which would show as latency.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

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

/// Wakes a task at an exact moment.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// When the system has no timer for us.
    pub(super) fn new() -> anyhow::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC).context("cannot make a timer")?;
        Ok(Self { timer: AsyncFd::register(timer).context("cannot wait for a timer")? })
    }

    /// Returns at `moment` of [`now`]; at once if it is over.
    pub(super) async fn at(&self, moment: u64) {
        if moment <= now() {
            return;
        }
        let value = Timespec { tv_sec: (moment / SECOND) as _, tv_nsec: (moment % SECOND) as _ };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        if timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &once).is_err() {
            return;
        }
        loop {
            let Ok(mut ready) = self.timer.readable().await else { return };
            match rustix::io::read(self.timer.get_ref(), &mut [0_u8; 8]) {
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                _ => return,
            }
        }
    }
}
