//! Small buffers that are used again: what one message needs for a moment the next one needs, too.

use std::cell::RefCell;

/// Most buffers that a thread keeps.
const MAX_KEPT: usize = 8;

/// Largest buffer that is kept: one that waits for a socket afterwards should not be much larger
/// than what is in it.
const MAX_KEPT_BYTES: usize = 2 * 1024;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for so many bytes.
pub(super) fn take(capacity: usize) -> Vec<u8> {
    let mut buffer = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    buffer.reserve(capacity);
    buffer
}

/// Gives a buffer back that is not needed any more; it need not come from here.
pub(super) fn give(mut buffer: Vec<u8>) {
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
    fn a_buffer_comes_back_empty_and_large_ones_do_not() {
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
