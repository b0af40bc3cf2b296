//! The settings of the selected server.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::client::{Dialect, Mode};

/// Settings of the selected server. Headers may be secrets, so `Debug` does not show them.
#[derive(Clone, Default)]
pub struct Settled {
    /// Its URL.
    pub url: String,
    /// Path template of the publisher.
    pub pub_path: Option<String>,
    /// Path template of the subscriber.
    pub sub_path: Option<String>,
    /// Path template of the statistics.
    pub stats_path: Option<String>,
    /// Delivery mode.
    pub mode: Option<Mode>,
    /// Protocol family.
    pub dialect: Option<Dialect>,
    headers: HeaderMap,
}

impl fmt::Debug for Settled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settled")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Settled {
    /// Adds the headers that are missing in `headers`.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        let missing: Vec<_> = self
            .headers
            .keys()
            .filter(|name| !headers.contains_key(*name))
            .collect();
        for name in missing {
            if let Some(value) = self.headers.get(name) {
                headers.insert(name, value.clone());
            }
        }
    }

    /// Settings of the server at `url`, with its headers of the configuration file.
    pub(super) fn new(url: String, headers: HeaderMap) -> Self {
        Self {
            url,
            headers,
            ..Self::default()
        }
    }

    /// Replaces the token.
    pub(super) fn set_authorization(&mut self, value: HeaderValue) {
        self.headers.insert(AUTHORIZATION, value);
    }

    /// Removes the token.
    pub(super) fn remove_authorization(&mut self) {
        self.headers.remove(AUTHORIZATION);
    }
}
