//! What clients may do with channels at push-stream locations, and how that is rejected.

use super::explain::Rejection;
use crate::server::access::grant::{Action, ChannelFacts, Denial, Grant, may};
use crate::server::broker::{Broker, Channel};

/// Checks that a client may do something with the channel of this id, which need not exist.
pub(super) fn check(
    grant: &Grant,
    action: Action,
    broker: &Broker,
    id: &[u8],
) -> Result<(), Rejection> {
    check_facts(
        grant,
        action,
        broker,
        &ChannelFacts::of_name(broker, id),
        id,
    )
}

/// Checks that a client may do something with a channel that was looked up.
#[inline]
pub(super) fn check_found(
    grant: &Grant,
    action: Action,
    broker: &Broker,
    id: &[u8],
    found: Option<&Channel>,
) -> Result<(), Rejection> {
    let facts = ChannelFacts::of_found(broker, id, found);
    check_facts(grant, action, broker, &facts, id)
}

/// As in the module, names of lists are rejected first, then ids that are too long.
#[inline]
fn check_facts(
    grant: &Grant,
    action: Action,
    broker: &Broker,
    facts: &ChannelFacts<'_>,
    id: &[u8],
) -> Result<(), Rejection> {
    let permission = may(grant, action, facts);
    if permission != Err(Denial::ListName) {
        check_length(broker, id)?;
    }
    permission.map_err(|denial| rejection_of(denial, action))
}

/// Checks the length of an id against `max_channel_id_length`.
pub(super) fn check_length(broker: &Broker, id: &[u8]) -> Result<(), Rejection> {
    let max = broker.settings().max_channel_id_length;
    if max.is_some_and(|max| id.len() as u64 > max) {
        return Err(Rejection::IdTooLong);
    }
    Ok(())
}

fn rejection_of(denial: Denial, action: Action) -> Rejection {
    match denial {
        Denial::EventsChannel if action == Action::Subscribe => Rejection::EventsSubscription,
        Denial::EventsChannel => Rejection::EventsChannel,
        Denial::Missing => Rejection::NotAuthorized,
        Denial::ListName | Denial::NotOffered | Denial::ForeignPage | Denial::EventsGroup => {
            Rejection::ForbiddenId
        }
    }
}
