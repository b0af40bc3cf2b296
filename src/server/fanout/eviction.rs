//! Eviction: a subscriber that is to be the only one waiting on a channel ends the others (NHPM,
//! `push_subscriber_concurrency last`).
//!
//! The order of arrival is decided under the channel's lock when the subscribers attach. A shard
//! ends its followers when it learns of the eviction, at the latest before a later subscriber is
//! added.

use super::format::EndReason;
use super::state::{ShardContext, ShardState};

impl ShardState {
    /// Ends the followers of a channel on this shard that yield to a new subscriber.
    pub(super) fn evict_waiting(&mut self, context: ShardContext<'_>, channel: u64) {
        let Some(local) = self.by_number.get(&channel).copied() else {
            return;
        };
        // From the last to the first: a member that leaves is replaced by one that was already
        // checked.
        let mut index = self
            .channels
            .get(local as usize)
            .map_or(0, |local| local.members.len());
        while index > 0 {
            index -= 1;
            let member = self
                .channels
                .get(local as usize)
                .and_then(|local| local.members.get(index));
            let Some(key) = member.map(|member| member.slot as usize) else {
                continue;
            };
            if self
                .follower(key)
                .is_some_and(|follower| follower.format.yields_to_new())
            {
                self.end(context, key, EndReason::Conflict);
                self.arm(key, context.send_timeout);
            }
        }
    }
}
