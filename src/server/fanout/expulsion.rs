//! Subscribers that want to be the only one who waits on a channel: what becomes of the others.

use super::follower::{Concurrency, Subscription};
use super::format::Ending;
use super::state::{Moment, State};

impl State {
    /// To be called before a subscription is opened. First what others asked for before it, which is not meant for it; then, if
    /// it wants that itself, those who wait on any shard end.
    pub(super) fn settle_concurrency(&mut self, moment: Moment<'_>, subscription: &Subscription) {
        for wanted in &subscription.channels {
            let is_last = subscription.concurrency == Concurrency::Last;
            if is_last {
                moment.broker.expel(&wanted.channel);
            }
            if wanted.channel.take_expulsion(moment.shard) {
                self.expel(moment, wanted.channel.number());
            }
        }
    }

    /// Ends the followers of a channel here that yield to one that came later.
    pub(super) fn expel(&mut self, moment: Moment<'_>, channel: u64) {
        let Some(local) = self.by_number.get(&channel).copied() else { return };
        // From the last: one that leaves is replaced by one that was looked at.
        let mut place = self.channels.get(local as usize).map_or(0, |local| local.members.len());
        while place > 0 {
            place -= 1;
            let member = self.channels.get(local as usize).and_then(|local| local.members.get(place));
            let Some(key) = member.map(|member| member.slot as usize) else { continue };
            if self.follower(key).is_some_and(|follower| follower.format.yields()) {
                self.end(moment, key, Ending::Conflict);
                self.arm(key, moment.send_timeout);
            }
        }
    }
}
