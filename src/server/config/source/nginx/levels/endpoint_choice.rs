//! The endpoint that the directives of a location select. It gets its settings when the inheritance
//! of the location is known.

use super::Level;
use crate::server::config::model::nchan::{GroupMethods, Roles};
use crate::server::config::source::nginx::push_levels::legacy_id;
use crate::server::config::{Endpoint, SubscriberMode, VariableNames};

/// The endpoint that the directives of a location select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum EndpointChoice {
    None,
    Statistics,
    Publisher { admin: bool },
    Subscriber(SubscriberMode),
    NhpmPublisher,
    NhpmSubscriber { interval_poll: bool },
    Nchan(Roles),
    NchanGroup(GroupMethods),
    NchanStubStatus,
    NchanSubscriberInfo,
}

impl EndpointChoice {
    /// The endpoint, with the settings of this level. `shows_info`: the subscribers of nchan are
    /// listed somewhere.
    pub(in crate::server) fn endpoint(
        self,
        level: &Level,
        names: &VariableNames,
        shows_info: bool,
    ) -> Endpoint {
        let nhpm = || level.nhpm.settings(legacy_id(names).unwrap_or_default());
        let nchan = || level.nchan.settings(names, shows_info);
        match self {
            Self::None => Endpoint::None,
            Self::Statistics => Endpoint::Statistics,
            Self::Publisher { admin } => Endpoint::Publisher { admin },
            Self::Subscriber(mode) => Endpoint::Subscriber(mode),
            Self::NhpmPublisher => Endpoint::NhpmPublisher(nhpm()),
            Self::NhpmSubscriber { interval_poll } => Endpoint::NhpmSubscriber {
                interval_poll,
                settings: nhpm(),
            },
            Self::Nchan(roles) => Endpoint::Nchan {
                roles,
                settings: nchan(),
            },
            Self::NchanGroup(methods) => Endpoint::NchanGroup {
                methods,
                settings: nchan(),
            },
            Self::NchanStubStatus => Endpoint::NchanStubStatus,
            Self::NchanSubscriberInfo => Endpoint::NchanSubscriberInfo(nchan()),
        }
    }
}
