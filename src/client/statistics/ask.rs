//! Asking a server for its counters, whatever family it is of, and telling a missing channel from a
//! missing location.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode, Url};

use super::{Report, fetch, get, read, stub_status};
use crate::client::error::shown;
use crate::client::{Dialect, Endpoints, Error, Http, http, page, unframed_info};

/// An answer, and where it came from.
#[derive(Debug)]
pub struct StatisticsResponse {
    /// What was asked for.
    pub url: Url,
    /// The counters in the JSON of push-stream, or what came instead.
    pub body: Vec<u8>,
}

impl StatisticsResponse {
    /// Reads the counters.
    ///
    /// # Errors
    /// [`Error::Protocol`] if it has none.
    pub fn report(&self) -> Result<Report, Error> {
        Report::from_json(&self.body).ok_or_else(|| self.strange())
    }

    /// The error of an answer without counters.
    #[must_use]
    pub fn strange(&self) -> Error {
        let reason = "it is no JSON of channel statistics (something else is there? see --url and \
                      --stats-path)"
            .to_owned();
        Error::Protocol {
            url: shown(&self.url),
            reason,
        }
    }
}

/// The counters of a channel, or of the server, in the form of push-stream: those of NHPM and nchan
/// are translated. What the server speaks, if nobody said, shows when push-stream's path is not
/// there.
///
/// # Errors
/// Any [`Error`]; [`Error::NoChannel`] if the server does not know the channel, [`Error::Status`]
/// with 404 if it has no such location.
pub async fn ask(
    client: &Http,
    endpoints: &Endpoints,
    channel: Option<&str>,
    timeout: Duration,
) -> Result<StatisticsResponse, Error> {
    let own = endpoints.bare_statistics(channel)?;
    if let (Some(url), true) = (&own, endpoints.dialect().is_some()) {
        return ask_bare(client, url, endpoints, channel, timeout).await;
    }
    let url = endpoints.statistics(channel)?;
    let response = get(client, &url, timeout).await?;
    if response.status() != StatusCode::NOT_FOUND {
        let body = read(response, &url, timeout).await?;
        let body = channel
            .and_then(|channel| unframed_info::translated(&body, channel))
            .unwrap_or(body);
        return Ok(StatisticsResponse { url, body });
    }
    let error = http::status_error(&response, &url);
    if let Some(channel) = channel
        && (is_of_push_stream(&response)
            || (is_bare(&response) && has_summary(client, endpoints, timeout).await))
    {
        return Err(Error::NoChannel {
            url: shown(&url),
            channel: channel.to_owned(),
            hides_published: false,
        });
    }
    // Only a web server without such a location answers with a page.
    match own.filter(|own| *own != url && is_page(&response)) {
        Some(own) => ask_unknown(client, &own, endpoints, channel, timeout)
            .await?
            .ok_or_else(|| error.without_bare(&own)),
        None => Err(error.at("--stats-path")),
    }
}

/// Asks a server that is known to speak NHPM or nchan.
async fn ask_bare(
    client: &Http,
    url: &Url,
    endpoints: &Endpoints,
    channel: Option<&str>,
    timeout: Duration,
) -> Result<StatisticsResponse, Error> {
    let Some(channel) = channel else {
        let body = fetch(client, url, timeout)
            .await
            .map_err(|error| error.at("--stats-path"))?;
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
        .map_err(|error| error.at(endpoints.bare_option()))?;
    let body = unframed_info::translated(&body, channel).unwrap_or(body);
    Ok(StatisticsResponse {
        url: url.clone(),
        body,
    })
}

/// Asks at the location where NHPM and nchan have their counters; `None` if it is not one of them.
async fn ask_unknown(
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
        let Some(summary) = endpoints.bare_statistics(None)? else {
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
        unframed_info::translated(&body, channel).map(|body| StatisticsResponse {
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
         for the whole server)"
    ))
}

/// Nothing shows what answered: push-stream behind something that removes its mark, or a server
/// without the location.
fn is_bare(response: &Response) -> bool {
    !response.headers().contains_key("content-type") && response.content_length() == Some(0)
}

/// The location is there even if a channel is not.
async fn has_summary(client: &Http, endpoints: &Endpoints, timeout: Duration) -> bool {
    let Ok(url) = endpoints.statistics(None) else {
        return false;
    };
    let answer = client
        .request(Method::HEAD, &url, HeaderMap::new(), None, Some(timeout))
        .await;
    answer.is_ok_and(|response| response.status() != StatusCode::NOT_FOUND)
}

fn is_page(response: &Response) -> bool {
    http::header(response, "Content-Type").is_some_and(page::is_html)
}

/// push-stream marks all its answers; those of a web server without the location do not have the
/// mark.
fn is_of_push_stream(response: &Response) -> bool {
    Dialect::of_answer(response.status(), response.headers()) == Some(Dialect::PushStream)
}
