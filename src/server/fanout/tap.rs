//! Record of the bytes written to a follower, for the access log: the head of the response and the
//! number of bytes.

use super::end_reason::EndReason;

/// Longest head that is recorded.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Returns the length of the head at the front of a written response, if it is complete.
pub(super) type FindHeadEnd = fn(&[u8]) -> Option<usize>;

/// A record of what an outlet writes.
#[derive(Debug)]
pub struct Tap {
    /// Head of the response. Without an end, the first 16 KiB.
    pub head: Vec<u8>,
    has_head: bool,
    find_head_end: FindHeadEnd,
    /// Number of bytes that the socket has accepted.
    pub sent: u64,
    /// Why the server ended the subscription.
    pub ending: Option<EndReason>,
}

impl Tap {
    pub(super) fn new(find_head_end: FindHeadEnd) -> Self {
        Self {
            head: Vec::new(),
            has_head: false,
            find_head_end,
            sent: 0,
            ending: None,
        }
    }

    /// Records bytes that the socket has accepted.
    pub(super) fn record(&mut self, bytes: &[u8]) {
        self.sent += bytes.len() as u64;
        if self.has_head {
            return;
        }
        let room = MAX_HEAD_BYTES
            .saturating_sub(self.head.len())
            .min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        if let Some(end) = (self.find_head_end)(&self.head) {
            self.head.truncate(end);
            self.has_head = true;
        }
        self.has_head |= self.head.len() >= MAX_HEAD_BYTES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_ends_where_the_body_begins_however_it_is_cut() {
        let response = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\n\r\n";
        for step in [1, 2, 3, 5, 100] {
            let mut tap = Tap::new(|written| Some(memchr::memmem::find(written, b"\r\n\r\n")? + 4));
            response.chunks(step).for_each(|piece| tap.record(piece));
            assert_eq!(
                (&tap.head[..], tap.sent),
                (
                    &b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"[..],
                    response.len() as u64
                ),
                "{step}"
            );
        }
    }
}
