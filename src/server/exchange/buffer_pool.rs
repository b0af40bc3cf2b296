//! A pool of small buffers per thread: the short-lived buffer of one message is reused for the
//! next.

use std::cell::RefCell;

/// Maximum number of buffers in the pool of a thread.
const MAX_KEPT: usize = 8;

/// Maximum capacity of a pooled buffer: a buffer that later waits for a full socket should not be
/// much larger than its content.
const MAX_KEPT_BYTES: usize = 2 * 1024;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Returns an empty buffer with room for at least `capacity` bytes.
pub(in crate::server) fn take(capacity: usize) -> Vec<u8> {
    let mut buffer = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    buffer.reserve(capacity);
    buffer
}

/// Puts a buffer into the pool; it need not come from [`take`].
pub(in crate::server) fn give(mut buffer: Vec<u8>) {
    if (1..=MAX_KEPT_BYTES).contains(&buffer.capacity()) {
        buffer.clear();
        KEPT.with_borrow_mut(|kept| {
            if kept.len() < MAX_KEPT {
                kept.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_are_reused_empty_and_large_ones_are_freed() {
        give(vec![1; MAX_KEPT_BYTES + 1]);
        assert_eq!(take(0).capacity(), 0);
        give(Vec::with_capacity(100));
        let buffer = take(10);
        assert!(buffer.is_empty() && buffer.capacity() >= 100);
        (0..2 * MAX_KEPT).for_each(|_| give(vec![1]));
        assert_eq!(
            (0..2 * MAX_KEPT).filter(|_| take(0).capacity() > 0).count(),
            MAX_KEPT
        );
    }
}
