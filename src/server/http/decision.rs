//! What has to be found out before a request can be answered: whether a password is right, and what
//! back-ends say.
//!
//! The request is routed again with what came of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::auth::{Credentials, PasswordCheck};
use super::auth_request::{AuthRequestResult, Inquiry};
use super::backend::Backend;
use super::hook_response::KeptHeaders;
use super::hooks::Authorization;
use crate::server::config::web::AuthRequest;
use crate::server::response::{Response, Status};

/// Most requests of `auth_request` about one request: its location may depend on the time.
const MAX_INQUIRIES: u8 = 4;

/// What is known when a request is routed again.
#[derive(Clone, Default)]
pub(super) struct Again {
    /// What came of checking its password, and against which file.
    checked: Option<(PathBuf, PasswordCheck)>,
    /// What came of `auth_request`.
    pub(super) inquired: Option<Arc<AuthRequestResult>>,
    /// How often that was asked.
    inquiries: u8,
    /// The path that it was led to.
    pub(super) redirected: Option<Vec<u8>>,
    /// Headers of the back-end that led it there.
    pub(super) kept: Option<Arc<KeptHeaders>>,
    /// A hook has agreed to it.
    pub(super) authorized: bool,
}

impl Again {
    /// A request that was led to this path.
    pub(super) fn redirected(path: Vec<u8>) -> Self {
        Self {
            redirected: Some(path),
            ..Self::default()
        }
    }

    /// What came of checking its password against this file.
    pub(super) fn verdict(&self, users: &Path) -> Option<PasswordCheck> {
        self.checked
            .as_ref()
            .filter(|(file, _)| file == users)
            .map(|(_, verdict)| *verdict)
    }

    /// What came of asking about the request as these settings demand.
    pub(super) fn inquired(&self, settings: &Arc<AuthRequest>) -> Option<&AuthRequestResult> {
        self.inquired
            .as_deref()
            .filter(|result| Arc::ptr_eq(&result.settings, settings))
    }
}

/// A question about a request.
pub(super) enum Question {
    /// Are these right?
    Password(Credentials),
    /// `auth_request`
    AuthRequest(Inquiry),
    /// A hook of nchan.
    Hook(Authorization),
}

/// A question, and what is known already.
pub(super) struct Decision {
    pub(super) question: Question,
    pub(super) again: Again,
}

impl Decision {
    /// Finds the answer: with it the request is routed again, or rejected; `None` = the connection
    /// is closed without a response.
    pub(super) async fn find(self, backend: &Backend) -> Result<Again, Option<Response>> {
        let Self {
            question,
            mut again,
        } = self;
        match question {
            Question::Password(credentials) => {
                let users = credentials.users.clone();
                again.checked = Some((users, credentials.check().await));
            }
            Question::AuthRequest(inquiry) => {
                again.inquiries += 1;
                if again.inquiries > MAX_INQUIRIES {
                    return Err(Some(Response::error_page(Status::INTERNAL).closing()));
                }
                again.inquired = Some(Arc::new(inquiry.ask(backend).await));
            }
            Question::Hook(Authorization { ask, wanted }) => {
                let told = backend.decide(ask, Bytes::new()).await;
                match told {
                    Ok(told) if (200..300).contains(&told.status) => again.authorized = true,
                    told => return Err(Authorization::refusal(wanted, told)),
                }
            }
        }
        Ok(again)
    }
}
