//! Checks that must run before a request can be answered: of a password, of `auth_request`, of an
//! nchan hook. The request is then routed again with the result.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::server::access::basic_auth::{Credentials, PasswordCheck};
use crate::server::config::model::web::AuthRequest;
use crate::server::exchange::response::{Response, Status};
use crate::server::http::upstream::auth_request::{AuthRequestResult, AuthSubrequest};
use crate::server::http::upstream::backend::BackendClient;
use crate::server::http::upstream::hook_response::KeptHeaders;
use crate::server::http::upstream::hooks::Authorization;

/// Most requests of `auth_request` about one request: its location may depend on the time.
const MAX_AUTH_REQUESTS: u8 = 4;

/// Results that are carried from one routing pass of a request to the next.
#[derive(Clone, Default)]
pub(in crate::server) struct RoutingState {
    /// Result of the password check, and the file of users that it used.
    password: Option<(PathBuf, PasswordCheck)>,
    /// Result of `auth_request`.
    pub(in crate::server) auth_result: Option<Arc<AuthRequestResult>>,
    /// Number of requests made for `auth_request`.
    auth_requests: u8,
    /// Path of an internal redirect.
    pub(in crate::server) redirected: Option<Vec<u8>>,
    /// Headers of the back-end that has redirected the request.
    pub(in crate::server) kept: Option<Arc<KeptHeaders>>,
    /// The authorization hook has accepted the request.
    pub(in crate::server) is_authorized: bool,
}

impl RoutingState {
    /// The state after an internal redirect to `path`.
    pub(in crate::server) fn redirected(path: Vec<u8>) -> Self {
        Self {
            redirected: Some(path),
            ..Self::default()
        }
    }

    /// Result of the password check against this file of users.
    pub(in crate::server) fn password_check(&self, users: &Path) -> Option<PasswordCheck> {
        self.password
            .as_ref()
            .filter(|(file, _)| file == users)
            .map(|(_, result)| *result)
    }

    /// Result of `auth_request` with these settings.
    pub(in crate::server) fn auth_result(
        &self,
        settings: &Arc<AuthRequest>,
    ) -> Option<&AuthRequestResult> {
        self.auth_result
            .as_deref()
            .filter(|result| Arc::ptr_eq(&result.settings, settings))
    }
}

/// A check of a request.
pub(in crate::server) enum Check {
    /// Of the password.
    Password(Credentials),
    /// `auth_request`
    AuthRequest(AuthSubrequest),
    /// `nchan_authorize_request`
    Hook(Authorization),
}

/// A check, and the state of the request before it.
pub(in crate::server) struct PendingCheck {
    pub(in crate::server) check: Check,
    pub(in crate::server) state: RoutingState,
}

impl PendingCheck {
    /// Runs the check and returns the state for the next routing pass.
    ///
    /// # Errors
    /// The response to a rejected request; `None` if the connection is closed without one.
    pub(in crate::server) async fn run(
        self,
        backend: &BackendClient,
    ) -> Result<RoutingState, Option<Response>> {
        let Self { check, mut state } = self;
        match check {
            Check::Password(credentials) => {
                let users = credentials.users.clone();
                state.password = Some((users, credentials.check().await));
            }
            Check::AuthRequest(subrequest) => {
                state.auth_requests += 1;
                if state.auth_requests > MAX_AUTH_REQUESTS {
                    return Err(Some(Response::error_page(Status::INTERNAL).closing()));
                }
                state.auth_result = Some(Arc::new(subrequest.send(backend).await));
            }
            Check::Hook(Authorization { call, wanted }) => {
                let response = backend.call_without_redirect(call, Bytes::new()).await;
                match response {
                    Ok(response) if (200..300).contains(&response.status) => {
                        state.is_authorized = true;
                    }
                    response => return Err(Authorization::rejection(wanted, response)),
                }
            }
        }
        Ok(state)
    }
}
