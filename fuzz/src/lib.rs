//! Shared by the targets: cutting input as a network would.

/// Cuts `bytes` at offsets that depend only on `bytes` and `seed`, so that a finding can be
/// reproduced: pieces of 1 to 16 bytes, sometimes a long one. Seed 0 cuts after every byte.
pub fn cut(bytes: &[u8], seed: u64) -> impl Iterator<Item = &[u8]> {
    let mut state = bytes
        .iter()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
        | 1;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = match state % 20 {
            _ if seed == 0 => 1,
            0 => 200,
            other => 1 + other as usize % 16,
        };
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        Some(piece)
    })
}

/// A duration in the notation of users.
pub fn shown(duration: std::time::Duration) -> String {
    format!("{}s {}ns", duration.as_secs(), duration.subsec_nanos())
}
