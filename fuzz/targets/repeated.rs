//! A request and one that is nearly like it. What is taken for a repetition must mean the same but
//! for its channel and its message, or, of a poll, its cursor.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pushctl::server::fuzzing::{is_repetition, is_same_poll};

/// The second request: the first one with a few edits, each a place, bytes to leave out, and bytes
/// to put there.
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
    // The first byte says how long the edits at the end are.
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
