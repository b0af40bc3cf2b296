//! Detection of a server that speaks nchan or NHPM and has nothing at the built-in paths: the usual
//! paths of these servers are tried once.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};

use super::Subscription;
use super::event::Event;
use crate::client::dialect::Dialect;
use crate::client::endpoint::Endpoints;
use crate::client::error::Error;
use crate::client::mode::Mode;
use crate::client::transport::http::Http;

/// Requests the usual paths of nchan and NHPM. Returns the endpoints with the path that exists, and
/// the protocol family of the server.
///
/// # Errors
/// Returns [`Error::Request`] if the paths are not valid URLs.
pub async fn detect_usual_paths(
    client: &Http,
    endpoints: &Endpoints,
    channels: &str,
) -> Result<Option<(Endpoints, Dialect)>, Error> {
    if endpoints.dialect().is_some() || endpoints.has_subscriber_path() {
        return Ok(None);
    }
    for usual in [Dialect::Nchan, Dialect::Nhpm] {
        let candidate = endpoints.clone().with_dialect(Some(usual));
        let url = candidate.subscribe(Mode::Lp, channels)?;
        let Ok(response) = client
            .request(
                Method::OPTIONS,
                &url,
                HeaderMap::new(),
                None,
                Some(super::CLOCK_TIMEOUT),
            )
            .await
        else {
            continue;
        };
        if response.status() != StatusCode::OK {
            continue;
        }
        if let Some(found) = Dialect::of_options(response.status(), response.headers())
            .filter(|found| found.is_unframed())
        {
            return Ok(Some((
                candidate
                    .with_fixed_subscriber_path()
                    .with_dialect(Some(found)),
                found,
            )));
        }
    }
    Ok(None)
}

impl Subscription {
    /// Handles a 404: returns true if the server speaks another protocol family at its usual path,
    /// so that the next request goes there.
    pub(super) async fn detect(&mut self, error: &Error) -> Result<bool, Error> {
        let is_missing = matches!(
            error,
            Error::Status {
                status: 404,
                explain: None,
                ..
            }
        );
        if !is_missing || self.has_detected || self.settings.dialect.is_some() {
            return Ok(false);
        }
        self.has_detected = true;
        let Some((endpoints, dialect)) =
            detect_usual_paths(&self.client, &self.endpoints, &self.ids().join("/")).await?
        else {
            return Ok(false);
        };
        self.endpoints = endpoints;
        // The response of the missing location does not identify the server.
        self.dialect = Some(dialect);
        self.cursor.set_unframed();
        (self.has_probed, self.is_dialect_uncertain) = (true, false);
        if dialect == Dialect::Nhpm && !matches!(self.mode(), Mode::Lp | Mode::Poll) {
            // NHPM has no streams.
            (self.settings.modes, self.mode) = (vec![Mode::Lp], 0);
            self.ready
                .push_back(Event::ModeFallback(error.clone(), Mode::Lp));
        }
        Ok(true)
    }
}
