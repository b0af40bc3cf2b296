//! Times of a recorded case: the clock, the start of a second, and pauses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Waits for the start of a second, so that what follows happens within it.
pub(super) fn align_second() {
    let millis = u64::from(now().subsec_millis());
    if millis > 100 {
        pause(1005 - millis);
    }
}

/// These pauses are part of the recording.
pub(super) fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
