//! Every file that reaches a channel by its name asks the grant of the request, so that a rule
//! about channels holds on every path.

use super::source::{Source, sources};

/// The protocol families, which do what clients ask for.
const FAMILIES: [&str; 3] = ["server/push_stream/", "server/nhpm/", "server/nchan/"];

/// What reaches channels by their names.
const LOOK_UPS: [&str; 6] = [
    "broker.find(",
    "broker.find_or_create(",
    "open_channel(",
    "broker.delete(",
    "broker.delete_and_recreate(",
    ".group_channels(",
];

/// What asks the grant.
const QUESTIONS: [&str; 4] = [
    "may(&",
    "is_permitted(",
    "permission::check",
    "check_subscribe_channel(",
];

/// Files that reach other channels than those which a client names, or after they were asked about.
const EXCEPTIONS: [&str; 3] = [
    // The server publishes its own events.
    "server/nchan/events.rs",
    // A temporary channel, once the call has asked about the channels of the request.
    "server/nchan/subscribe/subscriber_info.rs",
    // Positions in the channels of a call that has asked.
    "server/nchan/subscribe/ids.rs",
];

#[test]
fn channels_are_reached_only_where_the_grant_is_asked() {
    let unasked: Vec<String> = sources()
        .iter()
        .filter(|source| {
            FAMILIES
                .iter()
                .any(|family| source.path.starts_with(family))
        })
        .filter(|source| !source.path.contains("tests") && reaches_unasked(source))
        .map(|source| source.path.clone())
        .collect();
    let mut wrong = unasked.clone();
    wrong.retain(|path| !EXCEPTIONS.contains(&&path[..]));
    assert!(wrong.is_empty(), "they ask no grant: {wrong:#?}");
    let unused = EXCEPTIONS
        .iter()
        .find(|path| !unasked.iter().any(|found| found == *path));
    assert_eq!(unused, None, "remove it from EXCEPTIONS");
}

/// Whether a file reaches channels and asks no grant.
fn reaches_unasked(source: &Source) -> bool {
    let code: String = source.code().split_whitespace().collect();
    let has = |texts: &[&str]| texts.iter().any(|text| code.contains(text));
    has(&LOOK_UPS) && !has(&QUESTIONS)
}
