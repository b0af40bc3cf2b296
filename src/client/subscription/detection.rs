//! Finding a server that speaks nchan or NHPM although nothing is at the built-in paths: its usual
//! ones are tried once.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};

use super::{Event, Subscription};
use crate::client::{Dialect, Endpoints, Error, Http, Mode};

/// Asks whether one of the usual paths of nchan and NHPM is there; the URLs with it, and what the
/// server speaks.
///
/// # Errors
/// [`Error::Request`] if the paths make no URLs.
pub async fn usual_paths(
    client: &Http,
    endpoints: &Endpoints,
    channels: &str,
) -> Result<Option<(Endpoints, Dialect)>, Error> {
    if endpoints.dialect().is_some() || endpoints.has_own_subscriber() {
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
            .filter(|found| found.is_bare())
        {
            return Ok(Some((
                candidate.keep_subscriber().with_dialect(Some(found)),
                found,
            )));
        }
    }
    Ok(None)
}

impl Subscription {
    /// After an answer that there is nothing: true if the server turned out to speak something else
    /// at its usual path, so that the next request goes there.
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
            usual_paths(&self.client, &self.endpoints, &self.ids().join("/")).await?
        else {
            return Ok(false);
        };
        self.endpoints = endpoints;
        // What the missing location seemed to show does not count.
        self.dialect = Some(dialect);
        self.cursor.becomes_bare();
        (self.has_probed, self.is_guess) = (true, false);
        if dialect == Dialect::Nhpm && !matches!(self.mode(), Mode::Lp | Mode::Poll) {
            // It has no streams.
            (self.settings.modes, self.mode) = (vec![Mode::Lp], 0);
            self.ready
                .push_back(Event::Falling(error.clone(), Mode::Lp));
        }
        Ok(true)
    }
}
