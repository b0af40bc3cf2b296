//! Subscribers that want to be the only one who waits on a channel: what becomes of the others.
//!
//! Who was there before whom is decided where they are attached, under the lock of the channel. A
//! shard ends its followers when it hears of that, at the latest before one that comes later is
//! entered.

use super::format::Ending;
use super::state::{ShardContext, State};

impl State {
    /// Ends the followers of a channel here that yield to one that came later.
    pub(super) fn expel(&mut self, moment: ShardContext<'_>, channel: u64) {
        let Some(local) = self.by_number.get(&channel).copied() else {
            return;
        };
        // From the last: one that leaves is replaced by one that was looked at.
        let mut place = self
            .channels
            .get(local as usize)
            .map_or(0, |local| local.members.len());
        while place > 0 {
            place -= 1;
            let member = self
                .channels
                .get(local as usize)
                .and_then(|local| local.members.get(place));
            let Some(key) = member.map(|member| member.slot as usize) else {
                continue;
            };
            if self
                .follower(key)
                .is_some_and(|follower| follower.format.yields())
            {
                self.end(moment, key, Ending::Conflict);
                self.arm(key, moment.send_timeout);
            }
        }
    }
}
