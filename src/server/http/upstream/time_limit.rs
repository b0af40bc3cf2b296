//! Timeouts for peers, such as back-ends, that tolerate pauses of this process (a suspended
//! machine, a debugger): input that arrived during a pause is in time, although it is read late.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::timeout;

/// The limit is counted in steps of this length; a pause of any length counts as one step.
const STEP: Duration = Duration::from_secs(1);

/// A step that takes this much longer than planned was interrupted by a pause.
const PAUSE: Duration = Duration::from_millis(200);

/// Time after a pause in which input that has already arrived is read.
const READ_AFTER_PAUSE: Duration = Duration::from_millis(20);

/// The same at the end of the limit.
const READ_AT_END: Duration = Duration::from_millis(1);

/// Runs `work` for at most `limit`; `None` on timeout.
pub(in crate::server) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut left = limit;
    while !left.is_zero() {
        let step = left.min(STEP);
        let begin = Instant::now();
        if let Ok(done) = timeout(step, &mut work).await {
            return Some(done);
        }
        let was_paused = begin.elapsed() >= step + PAUSE;
        if was_paused && let Ok(done) = timeout(READ_AFTER_PAUSE, &mut work).await {
            return Some(done);
        }
        left -= step;
    }
    // Input that has arrived by now is in time.
    timeout(READ_AT_END, work).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_with_its_limit() {
        assert_eq!(within(Duration::from_secs(5), async { 1 }).await, Some(1));
        assert_eq!(
            within(Duration::from_millis(5), std::future::pending::<()>()).await,
            None
        );
        assert_eq!(within(Duration::ZERO, async { 1 }).await, Some(1));
    }
}
