//! The followers of a channel: how many each shard has, how far they have read, and how far they
//! may be behind.

use smallvec::SmallVec;

/// Followers of a channel, by shard.
#[derive(Debug, Default)]
pub(super) struct FollowerInterest {
    shards: SmallVec<[ShardInterest; 2]>,
    /// The distinct lag limits. Almost every channel has a single one, so a linear search is fast.
    lag_limits: SmallVec<[LagLimit; 1]>,
}

/// Followers of a channel on one shard.
#[derive(Clone, Copy, Debug, Default)]
struct ShardInterest {
    followers: u32,
    /// Every follower of the shard has had the messages up to this id.
    floor: u64,
}

/// Followers of a channel with the same lag limit.
#[derive(Clone, Copy, Debug)]
struct LagLimit {
    bytes: u64,
    followers: u32,
}

impl FollowerInterest {
    /// Adds a follower that has had the messages up to `floor`.
    pub(super) fn add(&mut self, shard: usize, max_lag: u64, floor: u64) {
        if self.shards.len() <= shard {
            self.shards.resize(shard + 1, ShardInterest::default());
        }
        let interest = &mut self.shards[shard];
        if interest.followers == 0 {
            interest.floor = floor;
        }
        interest.followers += 1;
        match self
            .lag_limits
            .iter_mut()
            .find(|limit| limit.bytes == max_lag)
        {
            Some(limit) => limit.followers += 1,
            None => self.lag_limits.push(LagLimit {
                bytes: max_lag,
                followers: 1,
            }),
        }
    }

    /// Removes a follower. True if it was the last one with this lag limit.
    pub(super) fn remove(&mut self, shard: usize, max_lag: u64) -> bool {
        self.shards[shard].followers -= 1;
        let Some(index) = self
            .lag_limits
            .iter()
            .position(|limit| limit.bytes == max_lag)
        else {
            return false;
        };
        let limit = &mut self.lag_limits[index];
        limit.followers -= 1;
        let is_last = limit.followers == 0;
        if is_last {
            self.lag_limits.swap_remove(index);
        }
        is_last
    }

    /// Sets the number of followers of a shard.
    pub(super) fn set_followers(&mut self, shard: usize, count: usize) {
        if let Some(interest) = self.shards.get_mut(shard) {
            interest.followers = u32::try_from(count).unwrap_or(u32::MAX);
        }
    }

    /// Every follower of the shard has had the messages up to `floor`.
    pub(super) fn raise_floor(&mut self, shard: usize, floor: u64) {
        if let Some(interest) = self.shards.get_mut(shard) {
            interest.floor = interest.floor.max(floor);
        }
    }

    /// Number of followers on all shards.
    pub(super) fn followers(&self) -> u64 {
        self.shards
            .iter()
            .map(|interest| u64::from(interest.followers))
            .sum()
    }

    /// Shards with followers, as bits.
    pub(super) fn shards(&self) -> u64 {
        let followed = self
            .shards
            .iter()
            .enumerate()
            .filter(|(_, interest)| interest.followers > 0);
        followed.fold(0, |bits, (shard, _)| bits | 1 << shard)
    }

    /// Every follower has had the messages up to this id; the largest id if there are no followers.
    pub(super) fn floor(&self) -> u64 {
        self.shards
            .iter()
            .filter(|interest| interest.followers > 0)
            .map(|interest| interest.floor)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// The largest lag limit of a follower, in bytes; 0 if there are no followers.
    pub(super) fn max_lag(&self) -> u64 {
        self.lag_limits
            .iter()
            .map(|limit| limit.bytes)
            .max()
            .unwrap_or(0)
    }
}
