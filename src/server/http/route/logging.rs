//! The access log entry of a request, with the variables of nchan in an nchan location.

use std::time::Instant;

use super::super::log_entry::{LogEntry, RequestStart};
use crate::server::config::{Endpoint, LocationSettings};
use crate::server::exchange::variables::RequestVariables;
use crate::server::http::upstream::hooks;
use crate::server::nchan::negotiation;
use crate::server::nchan::negotiation::RequestedAction;
use crate::server::nchan::variables::NchanVariables;

/// Begins the access log entry of a request that `began` at this time; `None` if it is not logged.
pub(super) fn entry(
    settings: &LocationSettings,
    variables: &RequestVariables<'_>,
    began: Option<Instant>,
) -> Option<Box<LogEntry>> {
    let start = RequestStart {
        began: began?,
        connection_opened: variables.peer.opened,
        head_bytes: variables.request.head_bytes,
    };
    let web = &settings.web;
    let Endpoint::Nchan {
        roles,
        settings: nchan,
    } = &settings.endpoint
    else {
        return LogEntry::begin(web, variables, start, false);
    };
    let wanted = negotiation::requested_action(variables.request, *roles);
    if matches!(
        wanted,
        RequestedAction::Forbidden | RequestedAction::UnknownMethod
    ) {
        return LogEntry::begin(web, variables, start, true);
    }
    let values = hooks::values(nchan, variables, wanted);
    LogEntry::begin(
        web,
        &NchanVariables {
            request: variables,
            values: &values,
        },
        start,
        true,
    )
}
