//! Limits on the work of a turn, after which the shard lets other tasks have the thread.

/// Work done in a turn. A turn ends, and the shard yields the thread, when any of the limits is
/// reached.
#[derive(Clone, Copy, Default)]
pub(super) struct TurnUsage {
    followers: usize,
    bytes: usize,
    /// Channels checked for followers of more than one channel.
    channels: usize,
}

/// Followers served in a turn. At 2 to 3 µs each this takes about half a millisecond.
const FOLLOWERS_PER_TURN: usize = 256;

/// Bytes written in a turn. The kernel copies them at about 5 GB/s.
const BYTES_PER_TURN: usize = 2 * 1024 * 1024;

/// Channels checked in a turn, at 20 to 50 ns each.
const CHANNELS_PER_TURN: usize = 16 * 1024;

impl TurnUsage {
    pub(super) fn is_over(self) -> bool {
        self.followers >= FOLLOWERS_PER_TURN
            || self.bytes >= BYTES_PER_TURN
            || self.channels >= CHANNELS_PER_TURN
    }

    /// Counts a follower that is served.
    pub(super) fn count_follower(&mut self) {
        self.followers += 1;
    }

    /// Counts bytes that are written.
    pub(super) fn count_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Counts channels that are checked.
    pub(super) fn count_channels(&mut self, channels: usize) {
        self.channels += channels;
    }
}
