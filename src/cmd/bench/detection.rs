//! Detection of the server's endpoints.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};

use crate::client::mode::Mode;
use crate::client::subscription::detection::detect_usual_paths;
use crate::client::{Endpoints, Error, Http};

/// Time-out of the probing request.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// A channel of a probing request, which is never created.
const PROBE_CHANNEL: &str = "bench";

/// Returns the URLs of the server; those of nchan if there is nothing at the built-in paths and the
/// server speaks nchan.
pub(super) async fn detect_endpoints(
    client: &Http,
    endpoints: Endpoints,
    mode: Mode,
) -> Result<Endpoints, Error> {
    let url = endpoints.subscribe(mode, PROBE_CHANNEL)?;
    let response = client
        .request(
            Method::OPTIONS,
            &url,
            HeaderMap::new(),
            None,
            Some(PROBE_TIMEOUT),
        )
        .await;
    // nginx returns 405 for OPTIONS on a location of files.
    let is_missing = |status| {
        matches!(
            status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        )
    };
    if !response.is_ok_and(|response| is_missing(response.status())) {
        return Ok(endpoints);
    }
    Ok(detect_usual_paths(client, &endpoints, PROBE_CHANNEL)
        .await?
        .map_or(endpoints, |(found, _)| found))
}
