//! The access log entry of a request, with the variables of nchan in an nchan location.

use std::time::Instant;

use super::super::log_entry::{LogEntry, LogTimes};
use crate::server::config::{Endpoint, Location, LocationSettings};
use crate::server::exchange::variables::RequestVariables;
use crate::server::http::upstream::hooks;
use crate::server::nchan::negotiation;
use crate::server::nchan::negotiation::RequestedAction;
use crate::server::nchan::variables::NchanVariables;

/// Begins the access log entry of a request that `began` at this time; `None` if it is not logged.
pub(super) fn entry(
    location: Option<&Location>,
    settings: &LocationSettings,
    variables: &RequestVariables<'_>,
    began: Option<Instant>,
) -> Option<Box<LogEntry>> {
    let times = LogTimes {
        began: began?,
        connection_opened: variables.peer.opened,
    };
    let web = &settings.web;
    let (Some(nchan), Some(Endpoint::Nchan(roles))) =
        (&settings.nchan, location.map(|location| location.endpoint))
    else {
        return LogEntry::begin(web, variables, times, false);
    };
    let wanted = negotiation::requested_action(variables.request, roles);
    if matches!(
        wanted,
        RequestedAction::Forbidden | RequestedAction::UnknownMethod
    ) {
        return LogEntry::begin(web, variables, times, true);
    }
    let values = hooks::values(nchan, variables, wanted);
    LogEntry::begin(
        web,
        &NchanVariables {
            request: variables,
            values: &values,
        },
        times,
        true,
    )
}
