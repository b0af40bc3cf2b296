//! The grant against the decisions that the endpoints made before there were grants.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::random_numbers::Random;
use crate::server::broker::{NewMessage, StoreOptions, Ticket};
use crate::server::config::model::nchan::GroupMethods;
use crate::server::config::{BrokerSettings, Expression, NhpmSettings, SubscriberMode};

const EVENTS_CHANNEL: &str = "events";

const ACTIONS: [Action; 5] = [
    Action::Publish,
    Action::Subscribe,
    Action::ReadInfo,
    Action::List,
    Action::Delete,
];

/// Names of all kinds: lists, wildcards, the events channel, groups, existing and missing channels.
const NAMES: [&str; 16] = [
    "ALL",
    "*",
    "news*",
    "ALLx",
    "events",
    "eventsx",
    "broad_a",
    "broad_missing",
    "stored",
    "empty",
    "missing",
    "meta/a",
    "meta/missing",
    "metax/a",
    "/meta/a",
    "group/stored",
];

/// One of these.
fn pick<T: Copy>(random: &mut Random, choices: &[T]) -> T {
    choices[usize::try_from(random.below(choices.len() as u64)).expect("an index")]
}

/// A broker with an events channel and some channels, with and without messages.
fn broker() -> Broker {
    let settings = BrokerSettings {
        events_channel_id: Bytes::from_static(EVENTS_CHANNEL.as_bytes()),
        wildcard_channel_prefix: Bytes::from_static(b"broad_"),
        ..BrokerSettings::default()
    };
    let broker = Broker::new(settings, 1, 1000).expect("there is room");
    for (name, is_stored) in [
        ("broad_a", false),
        ("stored", true),
        ("empty", false),
        ("meta/a", true),
        ("/meta/a", true),
        ("group/stored", true),
    ] {
        let name = Bytes::from_static(name.as_bytes());
        let channel = broker.find_or_create(&name).expect("there is room");
        if is_stored {
            let message = NewMessage {
                text: Bytes::from_static(b"text"),
                ..NewMessage::default()
            };
            let published = broker.publish(&channel, message, StoreOptions::new(true));
            assert!(matches!(published, Ticket::Ready(Ok(_))), "there is room");
        }
    }
    broker
}

/// A random location with an endpoint.
fn location(random: &mut Random) -> LocationSettings {
    LocationSettings {
        endpoint: endpoint(random),
        authorized_channels_only: random.one_in(2),
        allow_connections_to_events_channel: random.one_in(2),
        websocket_allow_publish: random.one_in(2),
        ..LocationSettings::default()
    }
}

fn endpoint(random: &mut Random) -> Endpoint {
    match random.below(9) {
        0 => Endpoint::Statistics,
        1 => Endpoint::Publisher {
            admin: random.one_in(2),
        },
        2 => Endpoint::Subscriber(pick(
            random,
            &[
                SubscriberMode::Streaming,
                SubscriberMode::Polling,
                SubscriberMode::LongPolling,
                SubscriberMode::EventSource,
                SubscriberMode::WebSocket,
            ],
        )),
        3 => Endpoint::NhpmPublisher(nhpm(random)),
        4 => Endpoint::NhpmSubscriber {
            interval_poll: random.one_in(2),
            settings: nhpm(random),
        },
        5 => Endpoint::Nchan {
            roles: roles(random),
            settings: nchan(random),
        },
        6 => Endpoint::NchanGroup {
            methods: GroupMethods {
                get: random.one_in(2),
                set: random.one_in(2),
                delete: random.one_in(2),
            },
            settings: nchan(random),
        },
        7 => Endpoint::NchanStubStatus,
        _ => Endpoint::NchanSubscriberInfo(nchan(random)),
    }
}

fn nhpm(random: &mut Random) -> Arc<NhpmSettings> {
    Arc::new(NhpmSettings {
        authorized_channels_only: random.one_in(2),
        ..NhpmSettings::default()
    })
}

fn nchan(random: &mut Random) -> Arc<NchanSettings> {
    let group = pick(random, &["", "meta", "$arg_group"]);
    Arc::new(NchanSettings {
        existing_channels_only: random.one_in(2),
        channel_group: Expression::parse(group.as_bytes()).expect("an expression"),
        ..NchanSettings::default()
    })
}

fn roles(random: &mut Random) -> Roles {
    let all = [
        Roles::PUBLISH_HTTP,
        Roles::PUBLISH_WEBSOCKET,
        Roles::WEBSOCKET,
        Roles::EVENTSOURCE,
        Roles::LONGPOLL,
        Roles::INTERVALPOLL,
        Roles::RAW_STREAM,
    ];
    all.into_iter()
        .filter(|_| random.one_in(2))
        .fold(Roles::default(), Roles::and)
}

/// The decision of the endpoints before there were grants, and `false` for actions that they did
/// not offer.
fn was_allowed(
    settings: &LocationSettings,
    is_foreign_page: bool,
    action: Action,
    broker: &Broker,
    name: &[u8],
) -> bool {
    let found = broker.find(name);
    let is_events = broker.is_events_channel(name);
    let is_list = name == b"ALL" || name.contains(&b'*');
    let names_events_group = |settings: &NchanSettings| {
        name.starts_with(b"meta/") && settings.channel_group.as_literal().is_none()
    };
    match (&settings.endpoint, action) {
        (Endpoint::Statistics, Action::ReadInfo | Action::List)
        | (Endpoint::NchanStubStatus, Action::List) => true,
        (Endpoint::Publisher { .. }, Action::ReadInfo) => !is_list,
        (Endpoint::Publisher { .. }, Action::Publish) => !is_list && !is_events,
        (Endpoint::Publisher { admin }, Action::Delete) => *admin && !is_list && !is_events,
        (Endpoint::Subscriber(_), Action::Publish) => {
            settings.websocket_allow_publish && !is_list && !is_events
        }
        (Endpoint::Subscriber(_), Action::Subscribe) => {
            let has_messages = found.is_some_and(|channel| channel.has_stored_messages());
            let is_authorized =
                !settings.authorized_channels_only || name.starts_with(b"broad_") || has_messages;
            let is_open = !is_events || settings.allow_connections_to_events_channel;
            !is_list && is_authorized && is_open
        }
        (Endpoint::NhpmPublisher(_), Action::Publish | Action::ReadInfo | Action::Delete) => {
            !is_events
        }
        (
            Endpoint::NhpmSubscriber {
                interval_poll,
                settings,
            },
            Action::Subscribe,
        ) => {
            let needs_channel = settings.authorized_channels_only && !interval_poll;
            !is_events && (!needs_channel || found.is_some())
        }
        (Endpoint::Nchan { roles, settings }, _) if !is_foreign_page && !is_events => {
            let is_forgery = names_events_group(settings);
            was_allowed_at_nchan(*roles, settings, action, is_forgery, found.is_some())
        }
        (Endpoint::NchanGroup { methods, .. }, Action::ReadInfo) => !is_foreign_page && methods.get,
        (Endpoint::NchanGroup { methods, settings }, Action::Delete) => {
            !is_foreign_page && (methods.set || methods.delete) && !names_events_group(settings)
        }
        (Endpoint::NchanSubscriberInfo(settings), Action::Subscribe) => {
            !is_foreign_page && !is_events && (!settings.existing_channels_only || found.is_some())
        }
        _ => false,
    }
}

/// The same at an nchan location, for a channel other than the events channel.
fn was_allowed_at_nchan(
    roles: Roles,
    settings: &NchanSettings,
    action: Action,
    is_forgery: bool,
    is_found: bool,
) -> bool {
    let subscribers = [
        Roles::WEBSOCKET,
        Roles::EVENTSOURCE,
        Roles::LONGPOLL,
        Roles::INTERVALPOLL,
        Roles::RAW_STREAM,
    ];
    match action {
        Action::Publish => roles.has(Roles::PUBLISH) && !is_forgery,
        Action::Delete => roles.has(Roles::PUBLISH_HTTP) && !is_forgery,
        Action::ReadInfo => roles.has(Roles::PUBLISH_HTTP),
        Action::Subscribe => {
            subscribers.into_iter().any(|role| roles.has(role))
                && (!settings.existing_channels_only || is_found)
        }
        Action::List => false,
    }
}

/// Whether web pages are checked at the endpoint.
fn checks_pages(endpoint: &Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::Nchan { .. } | Endpoint::NchanGroup { .. } | Endpoint::NchanSubscriberInfo(_)
    )
}

#[test]
fn the_grant_decides_as_the_endpoints_did() {
    let broker = broker();
    let mut random = Random::new(1);
    let mut allowed = 0;
    for _ in 0..20_000 {
        let settings = location(&mut random);
        let is_foreign_page = checks_pages(&settings.endpoint) && random.below(4) == 0;
        let grant = Grant::at(&settings).of_page(!is_foreign_page);
        let action = pick(&mut random, &ACTIONS);
        let name = pick(&mut random, &NAMES).as_bytes();
        let found = broker.find(name);
        let facts = ChannelFacts::of_found(&broker, name, found.as_deref());
        let expected = was_allowed(&settings, is_foreign_page, action, &broker, name);
        let decision = may(&grant, action, &facts);
        assert_eq!(
            decision.is_ok(),
            expected,
            "{action:?} {} at {:?}: {decision:?}",
            name.escape_ascii(),
            settings.endpoint
        );
        allowed += u32::from(expected);
        // Without a look-up, the decision must not be more open.
        let facts = ChannelFacts::of_name(&broker, name);
        assert!(may(&grant, action, &facts).is_err() || expected);
    }
    assert!((2_000..18_000).contains(&allowed), "{allowed}");
}

#[test]
fn the_first_reason_is_the_one_that_the_module_gives() {
    let broker = broker();
    let settings = LocationSettings {
        endpoint: Endpoint::Subscriber(SubscriberMode::Streaming),
        authorized_channels_only: true,
        ..LocationSettings::default()
    };
    let grant = Grant::at(&settings);
    for (action, name, expected) in [
        (Action::Publish, "ALL", Denial::NotOffered),
        (Action::Subscribe, "ALL", Denial::ListName),
        (Action::Subscribe, EVENTS_CHANNEL, Denial::Missing),
        (Action::Subscribe, "empty", Denial::Missing),
    ] {
        let facts = ChannelFacts::of_name(&broker, name.as_bytes());
        assert_eq!(may(&grant, action, &facts), Err(expected), "{name}");
    }
}
