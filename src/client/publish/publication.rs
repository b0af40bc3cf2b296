//! A message to publish, and the request that publishes it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use crate::client::error::Error;
use crate::client::transport::http::{self, Http};
use crate::client::transport::page;
use crate::protocol::{EVENT_ID, EVENT_TYPE};

/// The header of the event type in nchan (nhpm-nchan.md, section 2.4).
const NCHAN_EVENT_TYPE: &str = "X-EventSource-Event";

/// A message to publish.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// The payload.
    pub text: Vec<u8>,
    /// `Event-Id`
    pub event_id: Option<String>,
    /// `Event-Type`
    pub event_type: Option<String>,
    /// `Content-Type`
    pub content_type: Option<String>,
}

impl Publication {
    /// Returns the headers of the request.
    ///
    /// # Errors
    /// [`Error::Request`] if a value is not a valid header value.
    pub fn headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        headers.insert("Accept", HeaderValue::from_static("application/json"));
        let optional = [
            (EVENT_ID, &self.event_id),
            (EVENT_TYPE, &self.event_type),
            // The same for nchan; either server ignores the header of the other.
            (NCHAN_EVENT_TYPE, &self.event_type),
            ("Content-Type", &self.content_type),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                let name = name.to_ascii_lowercase();
                let value = http::header_value(&name, value)?;
                headers.insert(
                    HeaderName::from_bytes(name.as_bytes()).expect("the names are constants"),
                    value,
                );
            }
        }
        Ok(headers)
    }
}

/// Posts to `url`. Returns the server's channel info unchanged.
///
/// # Errors
/// Any [`Error`]; after [`Error::Broken`] and [`Error::TimedOut`] it is unknown whether the message
/// was published.
pub async fn publish(
    client: &Http,
    url: &Url,
    publication: Publication,
    timeout: Duration,
) -> Result<Vec<u8>, Error> {
    let (is_html, body) = post(client, url, publication, timeout).await?;
    page::reject_page(url, is_html, &body)?;
    Ok(body)
}

/// Returns the body of a success, and whether it is HTML.
pub(super) async fn post(
    client: &Http,
    url: &Url,
    publication: Publication,
    timeout: Duration,
) -> Result<(bool, Vec<u8>), Error> {
    let headers = publication.headers()?;
    let response = client
        .request(
            Method::POST,
            url,
            headers,
            Some(publication.text),
            Some(timeout),
        )
        .await?;
    if !response.status().is_success() {
        return Err(http::status_error(&response, url).with_path_option("--pub-path"));
    }
    let is_html = http::header(&response, "Content-Type").is_some_and(page::is_html);
    // The message is published even if the rest of the response is lost.
    Ok((
        is_html,
        http::body_up_to(http::MAX_INFO_BYTES, response, url, Some(timeout))
            .await
            .unwrap_or_default(),
    ))
}

/// A message with its destination.
#[derive(Clone, Debug)]
pub struct Posting {
    /// Number that identifies the message to the caller.
    pub number: u64,
    /// URL of the publisher location.
    pub url: Arc<Url>,
    /// The message.
    pub publication: Publication,
}

/// The result of publishing one message.
#[derive(Debug)]
pub struct PublishOutcome {
    /// Number of the message.
    pub number: u64,
    /// The server's channel info, or the reason of the rejection.
    pub result: Result<Vec<u8>, Error>,
}
