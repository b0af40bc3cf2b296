//! A time limit on work that waits for others, such as the response of a back-end. A pause of this
//! process does not use it up: what arrived during the pause is in time, although it is read late.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::timeout;

/// The limit is used up in steps of this length: of a pause, which may be much longer, one counts.
const STEP: Duration = Duration::from_secs(1);

/// A step that takes this much longer was interrupted by a pause.
const PAUSE: Duration = Duration::from_millis(200);

/// After a pause input that is there already gets this time to be read.
const SETTLE: Duration = Duration::from_millis(20);

/// The same at the end of the limit.
const LAST_LOOK: Duration = Duration::from_millis(1);

/// Does `work` for at most `limit`; `None` if it is not done then.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = limit;
    while !left.is_zero() {
        let step = left.min(STEP);
        let begin = Instant::now();
        if let Ok(done) = timeout(step, &mut work).await {
            return Some(done);
        }
        let was_paused = begin.elapsed() >= step + PAUSE;
        if was_paused && let Ok(done) = timeout(SETTLE, &mut work).await {
            return Some(done);
        }
        left -= step;
    }
    // What has arrived by now is in time.
    timeout(LAST_LOOK, work).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_within_its_limit_or_not_at_all() {
        assert_eq!(within(Duration::from_secs(5), async { 1 }).await, Some(1));
        assert_eq!(
            within(Duration::from_millis(5), std::future::pending::<()>()).await,
            None
        );
        assert_eq!(within(Duration::ZERO, async { 1 }).await, Some(1));
    }
}
