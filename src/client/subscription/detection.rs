//! Detection of a server that speaks nchan or NHPM and has nothing at the built-in paths: the usual
//! paths of these servers are tried once.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};

use crate::client::dialect::Dialect;
use crate::client::endpoint::Endpoints;
use crate::client::error::Error;
use crate::client::mode::Mode;
use crate::client::transport::http::Http;

/// Time-out of requests without which a subscription still works.
pub(super) const SIDE_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

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
                Some(SIDE_REQUEST_TIMEOUT),
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
