//! Requests for counters to a server of any protocol family. Distinguishes a missing channel from a
//! missing location.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};

use super::json::stub_status;
use super::report::Report;
use super::unframed_info;
use crate::client::dialect::Dialect;
use crate::client::endpoint::Endpoints;
use crate::client::error::Error;
use crate::client::transport::http::Http;
use crate::client::transport::{http, page};
use crate::client::url::shown;

/// A response with counters.
#[derive(Debug)]
pub struct StatisticsResponse {
    /// URL of the request.
    pub url: Url,
    /// The counters as JSON of push-stream, or the unexpected body.
    pub body: Vec<u8>,
}

impl StatisticsResponse {
    /// Parses the counters.
    ///
    /// # Errors
    /// [`Error::Protocol`] if the body has none.
    pub fn report(&self) -> Result<Report, Error> {
        Report::from_json(&self.body).ok_or_else(|| self.unreadable())
    }

    /// Returns the error of a response without counters.
    #[must_use]
    pub fn unreadable(&self) -> Error {
        let reason =
            "it has no channel statistics (is another service running there? see --url and \
                      --stats-path)"
                .to_owned();
        Error::Protocol {
            url: shown(&self.url),
            reason,
        }
    }
}

/// Requests the counters of a channel or of the server, as JSON of push-stream: those of NHPM and
/// nchan are converted. If the protocol family is not configured, the locations of NHPM and nchan
/// are tried if that of push-stream does not exist.
///
/// # Errors
/// Any [`Error`]; [`Error::NoChannel`] if the channel does not exist, [`Error::Status`] with 404 if
/// the location does not exist.
pub async fn request_statistics(
    client: &Http,
    endpoints: &Endpoints,
    channel: Option<&str>,
    timeout: Duration,
) -> Result<StatisticsResponse, Error> {
    let own = endpoints.unframed_statistics(channel)?;
    if let (Some(url), true) = (&own, endpoints.dialect().is_some()) {
        return request_unframed(client, url, endpoints, channel, timeout).await;
    }
    let url = endpoints.statistics(channel)?;
    let response = get(client, &url, timeout).await?;
    if response.status() != StatusCode::NOT_FOUND {
        let body = read(response, &url, timeout).await?;
        let body = channel
            .and_then(|channel| unframed_info::to_push_stream(&body, channel))
            .unwrap_or(body);
        return Ok(StatisticsResponse { url, body });
    }
    let error = http::status_error(&response, &url);
    if let Some(channel) = channel
        && (is_of_push_stream(&response)
            || (is_unidentified(&response) && has_summary(client, endpoints, timeout).await))
    {
        return Err(Error::NoChannel {
            url: shown(&url),
            channel: channel.to_owned(),
            hides_published: false,
        });
    }
    // Only a web server without such a location returns a page.
    match own.filter(|own| *own != url && is_page(&response)) {
        Some(own) => request_undetected(client, &own, endpoints, channel, timeout)
            .await?
            .ok_or_else(|| error.without_unframed_statistics(&own)),
        None => Err(error.with_path_option("--stats-path")),
    }
}

/// Requests `url` and returns the body unchanged.
///
/// # Errors
/// Any [`Error`]; [`Error::Status`] with 404 if the channel does not exist.
pub async fn fetch(client: &Http, url: &Url, timeout: Duration) -> Result<Vec<u8>, Error> {
    read(get(client, url, timeout).await?, url, timeout).await
}

async fn get(client: &Http, url: &Url, timeout: Duration) -> Result<Response, Error> {
    let mut headers = HeaderMap::new();
    headers.insert("Accept", HeaderValue::from_static("application/json"));
    client
        .request(Method::GET, url, headers, None, Some(timeout))
        .await
}

async fn read(response: Response, url: &Url, timeout: Duration) -> Result<Vec<u8>, Error> {
    if !response.status().is_success() {
        return Err(http::status_error(&response, url));
    }
    http::body(response, url, Some(timeout)).await
}

/// Requests counters from a server that speaks NHPM or nchan.
async fn request_unframed(
    client: &Http,
    url: &Url,
    endpoints: &Endpoints,
    channel: Option<&str>,
    timeout: Duration,
) -> Result<StatisticsResponse, Error> {
    let Some(channel) = channel else {
        let body = fetch(client, url, timeout)
            .await
            .map_err(|error| error.with_path_option("--stats-path"))?;
        return Ok(StatisticsResponse {
            url: url.clone(),
            body,
        });
    };
    if is_list(channel) {
        return Err(cannot_list(channel));
    }
    let response = get(client, url, timeout).await?;
    if response.status() == StatusCode::NOT_FOUND && !is_page(&response) {
        return Err(Error::NoChannel {
            url: shown(url),
            channel: channel.to_owned(),
            hides_published: true,
        });
    }
    let body = read(response, url, timeout)
        .await
        .map_err(|error| error.with_path_option(endpoints.unframed_statistics_option()))?;
    let body = unframed_info::to_push_stream(&body, channel).unwrap_or(body);
    Ok(StatisticsResponse {
        url: url.clone(),
        body,
    })
}

/// Requests counters at the location of NHPM and nchan; `None` if the server is neither.
async fn request_undetected(
    client: &Http,
    own: &Url,
    endpoints: &Endpoints,
    channel: Option<&str>,
    timeout: Duration,
) -> Result<Option<StatisticsResponse>, Error> {
    let Some(channel) = channel else {
        let body = fetch(client, own, timeout)
            .await
            .ok()
            .and_then(|body| stub_status(&String::from_utf8_lossy(&body)));
        return Ok(body.map(|body| StatisticsResponse {
            url: own.clone(),
            body,
        }));
    };
    if is_list(channel) {
        let Some(summary) = endpoints.unframed_statistics(None)? else {
            return Ok(None);
        };
        let body = fetch(client, &summary, timeout).await.unwrap_or_default();
        return if stub_status(&String::from_utf8_lossy(&body)).is_some() {
            Err(cannot_list(channel))
        } else {
            Ok(None)
        };
    }
    let Ok(response) = get(client, own, timeout).await else {
        return Ok(None);
    };
    if response.status() == StatusCode::NOT_FOUND
        && !is_page(&response)
        && !is_of_push_stream(&response)
    {
        return Err(Error::NoChannel {
            url: shown(own),
            channel: channel.to_owned(),
            hides_published: true,
        });
    }
    let body = read(response, own, timeout).await.unwrap_or_default();
    Ok(
        unframed_info::to_push_stream(&body, channel).map(|body| StatisticsResponse {
            url: own.clone(),
            body,
        }),
    )
}

fn is_list(channel: &str) -> bool {
    channel == "ALL" || channel.contains('*')
}

fn cannot_list(channel: &str) -> Error {
    Error::Request(format!(
        "cannot show '{channel}': NHPM and nchan do not list channels (name one channel, or none \
         for the server)"
    ))
}

/// True if the response does not identify the server: it may be push-stream behind a proxy that
/// removes its mark, or a server without the location.
fn is_unidentified(response: &Response) -> bool {
    !response.headers().contains_key("content-type") && response.content_length() == Some(0)
}

/// True if the location exists, with or without the channel.
async fn has_summary(client: &Http, endpoints: &Endpoints, timeout: Duration) -> bool {
    let Ok(url) = endpoints.statistics(None) else {
        return false;
    };
    let response = client
        .request(Method::HEAD, &url, HeaderMap::new(), None, Some(timeout))
        .await;
    response.is_ok_and(|response| response.status() != StatusCode::NOT_FOUND)
}

fn is_page(response: &Response) -> bool {
    http::header(response, "Content-Type").is_some_and(page::is_html)
}

/// True if the response has the mark of push-stream, which a web server without the location does
/// not send.
fn is_of_push_stream(response: &Response) -> bool {
    Dialect::of_response(response.status(), response.headers()) == Some(Dialect::PushStream)
}
