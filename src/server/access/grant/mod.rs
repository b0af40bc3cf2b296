//! The grant of a request: what it may do with which channels.
//!
//! The access phase (`http::route` asks the guard of web pages, the gates, the
//! rules of the location, its hook and its allowed origins) ends with a [`Grant`], which travels
//! with the request: with its call, its plan, its batch, its websocket and its replays. All code
//! that touches a channel for a client asks [`may`] before. Each protocol family renders a
//! [`Denial`] as its module does.
//!
//! Limits are no matter of access, and are checked elsewhere: lengths of ids, numbers of channels,
//! subscribers and messages, memory, limits of groups.

use crate::server::broker::{Broker, Channel};
use crate::server::config::model::nchan::Roles;
use crate::server::config::{Endpoint, LocationSettings, NchanSettings};

/// The group of nchan whose channels carry events about other channels.
pub const EVENTS_GROUP: &[u8] = b"meta";

/// What a client wants to do with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish a message to it.
    Publish = 1,
    /// Get its messages, now or later.
    Subscribe = 1 << 1,
    /// Get its counters.
    ReadInfo = 1 << 2,
    /// Find it in a list, or in the totals of the server.
    List = 1 << 3,
    /// Delete it, or change the limits of its group.
    Delete = 1 << 4,
}

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Actions(u8);

impl Actions {
    const NONE: Self = Self(0);
    const READ: Self = Self(Action::ReadInfo as u8 | Action::List as u8);
    const CHANGE: Self = Self(Action::Publish as u8 | Action::ReadInfo as u8);
    const ALL_OF_PUBLISHERS: Self = Self(Self::CHANGE.0 | Action::Delete as u8);

    const fn only(action: Action) -> Self {
        Self(action as u8)
    }

    /// This set, with `action` if `is_allowed`.
    const fn with(self, action: Action, is_allowed: bool) -> Self {
        if is_allowed {
            Self(self.0 | action as u8)
        } else {
            self
        }
    }

    const fn has(self, action: Action) -> bool {
        self.0 & action as u8 != 0
    }
}

/// The channels to which a client may subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subscribable {
    Any,
    /// Those that exist (`push_authorized_channels_only`,
    /// `nchan_subscribe_existing_channels_only`).
    Existing,
    /// Those with stored messages, and wildcard channels (`push_stream_authorized_channels_only`).
    Stored,
}

/// What a request may do: the result of the access phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What its endpoint offers.
    actions: Actions,
    /// What of that is allowed on the events channel of the server.
    on_events_channel: Actions,
    subscribable: Subscribable,
    /// `ALL` and names with `*` are lists, and no channels.
    has_list_names: bool,
    /// The request names the group of its channels: it cannot change those of events.
    names_group: bool,
    /// It is of a web page whose origin is not allowed.
    is_of_foreign_page: bool,
}

/// Why a client may not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The endpoint does not offer it.
    NotOffered,
    /// The web page is of an origin that is not allowed.
    ForeignPage,
    /// The name is one of lists.
    ListName,
    /// The channel does not exist, or has no stored messages.
    Missing,
    /// Only the server may do that with the events channel.
    EventsChannel,
    /// Only the server may change channels of events.
    EventsGroup,
}

/// What a decision depends on besides the grant.
#[derive(Clone, Copy, Debug)]
pub struct ChannelFacts<'a> {
    broker: &'a Broker,
    name: &'a [u8],
    found: Option<&'a Channel>,
}

impl Grant {
    /// The grant of a request that may enter this location.
    #[must_use]
    pub fn at(settings: &LocationSettings) -> Self {
        match &settings.endpoint {
            Endpoint::None | Endpoint::BackEnd(_) => Self::of(Actions::NONE),
            Endpoint::Statistics => Self {
                on_events_channel: Actions::READ,
                ..Self::of(Actions::READ)
            },
            Endpoint::Publisher { admin } => Self {
                has_list_names: true,
                on_events_channel: Actions::only(Action::ReadInfo),
                ..Self::of(Actions::CHANGE.with(Action::Delete, *admin))
            },
            Endpoint::Subscriber(_) => Self::of_subscriber(settings),
            Endpoint::NhpmPublisher(_) => Self::of(Actions::ALL_OF_PUBLISHERS),
            Endpoint::NhpmSubscriber {
                interval_poll,
                settings,
            } => Self::of(Actions::only(Action::Subscribe))
                .requiring_existing(settings.authorized_channels_only && !interval_poll),
            Endpoint::Nchan { roles, settings } => Self::of_nchan(settings, of_roles(*roles)),
            Endpoint::NchanGroup { methods, settings } => {
                let actions = Actions::NONE
                    .with(Action::ReadInfo, methods.get)
                    .with(Action::Delete, methods.set || methods.delete);
                Self {
                    // It names groups, and no channels.
                    on_events_channel: actions,
                    ..Self::of_nchan(settings, actions)
                }
            }
            Endpoint::NchanStubStatus => Self {
                on_events_channel: Actions::READ,
                ..Self::of(Actions::only(Action::List))
            },
            Endpoint::NchanSubscriberInfo(settings) => {
                Self::of_nchan(settings, Actions::only(Action::Subscribe))
            }
        }
    }

    /// A grant for these actions, with no further rule than that clients have nothing to do with
    /// the events channel.
    const fn of(actions: Actions) -> Self {
        Self {
            actions,
            on_events_channel: Actions::NONE,
            subscribable: Subscribable::Any,
            has_list_names: false,
            names_group: false,
            is_of_foreign_page: false,
        }
    }

    fn of_subscriber(settings: &LocationSettings) -> Self {
        let actions = Actions::only(Action::Subscribe)
            .with(Action::Publish, settings.websocket_allow_publish);
        Self {
            has_list_names: true,
            subscribable: if settings.authorized_channels_only {
                Subscribable::Stored
            } else {
                Subscribable::Any
            },
            on_events_channel: Actions::NONE.with(
                Action::Subscribe,
                settings.allow_connections_to_events_channel,
            ),
            ..Self::of(actions)
        }
    }

    fn of_nchan(settings: &NchanSettings, actions: Actions) -> Self {
        Self {
            names_group: settings.channel_group.as_literal().is_none(),
            ..Self::of(actions).requiring_existing(settings.existing_channels_only)
        }
    }

    fn requiring_existing(self, is_required: bool) -> Self {
        Self {
            subscribable: if is_required {
                Subscribable::Existing
            } else {
                Subscribable::Any
            },
            ..self
        }
    }

    /// The grant if the request is of a web page, whose origin is allowed or not.
    #[must_use]
    pub fn of_page(self, is_allowed: bool) -> Self {
        Self {
            is_of_foreign_page: !is_allowed,
            ..self
        }
    }

    /// Whether the request may enter its endpoint at all.
    ///
    /// # Errors
    /// If it is of a foreign web page.
    #[inline]
    pub fn check_page(&self) -> Result<(), Denial> {
        if self.is_of_foreign_page {
            return Err(Denial::ForeignPage);
        }
        Ok(())
    }

    /// Whether the endpoint offers an action on some channel.
    #[inline]
    #[must_use]
    pub fn offers(&self, action: Action) -> bool {
        self.actions.has(action)
    }
}

impl<'a> ChannelFacts<'a> {
    /// The facts about the channel with this name, or about the list or group with this prefix.
    #[must_use]
    pub fn of_name(broker: &'a Broker, name: &'a [u8]) -> Self {
        Self {
            broker,
            name,
            found: None,
        }
    }

    /// The facts about a channel that was found under its name, or was not. A subscriber must know
    /// that.
    #[must_use]
    pub fn of_found(broker: &'a Broker, name: &'a [u8], found: Option<&'a Channel>) -> Self {
        Self {
            broker,
            name,
            found,
        }
    }

    fn is_events_channel(&self) -> bool {
        match self.found {
            Some(channel) => channel.is_events,
            None => self.broker.is_events_channel(self.name),
        }
    }

    fn is_subscribable(&self, subscribable: Subscribable) -> bool {
        match subscribable {
            Subscribable::Any => true,
            Subscribable::Existing => self.found.is_some(),
            Subscribable::Stored => {
                self.broker.is_wildcard(self.name)
                    || self.found.is_some_and(Channel::has_stored_messages)
            }
        }
    }

    fn is_in_events_group(&self) -> bool {
        self.name
            .strip_prefix(EVENTS_GROUP)
            .is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

/// Decides whether a client may do something with a channel.
///
/// # Errors
/// Why it may not: the first reason in the order of [`Denial`].
#[inline]
pub fn may(grant: &Grant, action: Action, channel: &ChannelFacts<'_>) -> Result<(), Denial> {
    if !grant.offers(action) {
        return Err(Denial::NotOffered);
    }
    grant.check_page()?;
    if grant.has_list_names && is_list_name(channel.name) {
        return Err(Denial::ListName);
    }
    if action == Action::Subscribe && !channel.is_subscribable(grant.subscribable) {
        return Err(Denial::Missing);
    }
    if !grant.on_events_channel.has(action) && channel.is_events_channel() {
        return Err(Denial::EventsChannel);
    }
    let is_change = matches!(action, Action::Publish | Action::Delete);
    if is_change && grant.names_group && channel.is_in_events_group() {
        return Err(Denial::EventsGroup);
    }
    Ok(())
}

/// Whether push-stream takes the name for a list of channels.
#[must_use]
pub fn is_list_name(name: &[u8]) -> bool {
    name == b"ALL" || memchr::memchr(b'*', name).is_some()
}

/// The actions of an nchan location with these types of publishers and subscribers.
fn of_roles(roles: Roles) -> Actions {
    let subscribers = Roles::SUBSCRIBE
        .and(Roles::INTERVALPOLL)
        .and(Roles::RAW_STREAM);
    let publishes = roles.has(Roles::PUBLISH_HTTP);
    Actions::NONE
        .with(Action::Publish, roles.has(Roles::PUBLISH))
        .with(Action::ReadInfo, publishes)
        .with(Action::Delete, publishes)
        .with(Action::Subscribe, roles.has(subscribers))
}

#[cfg(test)]
mod tests;
