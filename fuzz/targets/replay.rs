//! A request and a similar one. A request that is found in the replay cache must have the same
//! meaning but for its channel and its message, or, for a poll, its cursor.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pushctl::server::fuzzing::{is_repetition, is_same_poll};

/// The second request: the first one with a few edits, each an offset, a number of bytes to remove,
/// and bytes to insert.
fn edited(first: &[u8], mut edits: &[u8]) -> Vec<u8> {
    let mut second = first.to_vec();
    while let [place, left_out, put, rest @ ..] = edits {
        let start = usize::from(*place).min(second.len());
        let end = (start + usize::from(left_out % 16)).min(second.len());
        let (put, rest) = rest.split_at(usize::from(put % 16).min(rest.len()));
        second.splice(start..end, put.iter().copied());
        edits = rest;
    }
    second
}

fuzz_target!(|data: &[u8]| {
    // The first byte is the length of the edits at the end.
    let Some((edits, data)) = data.split_first() else {
        return;
    };
    let (first, edits) = data.split_at(data.len() - usize::from(*edits).min(data.len()));
    let second = edited(first, edits);
    let _ = is_repetition(first, &second);
    let _ = is_same_poll(first, &second);
    let more = [first, b"x"].concat();
    assert!(!is_repetition(first, first) || is_repetition(first, &more));
    assert!(!is_same_poll(first, first) || is_same_poll(first, &more));
});
