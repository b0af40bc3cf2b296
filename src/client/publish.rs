//! Publishing: one POST. It is never sent twice, because the server may have taken the first.
//!
//! | status | meaning |
//! |---|---|
//! | 200 | taken; the body is the channel info, or empty if the location does not tell (or the rest of the answer did not come) |
//! | 301, 302, … | sent elsewhere, and not followed |
//! | 400, 403, 413, … | refused, with the reason in `X-Nginx-PushStream-Explain` |

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Url};

use super::{Error, Http, http};
use crate::protocol::{EVENT_ID, EVENT_TYPE};

/// What to publish.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// The message.
    pub text: Vec<u8>,
    /// `Event-Id`
    pub event_id: Option<String>,
    /// `Event-Type`
    pub event_type: Option<String>,
    /// `Content-Type`
    pub content_type: Option<String>,
}

/// Posts to `url` and returns the server's channel info (as it came).
///
/// # Errors
/// Any [`Error`]; whether the message was taken is unknown after [`Error::Broken`] and [`Error::TimedOut`].
pub async fn publish(client: &Http, url: &Url, publication: Publication, timeout: Duration) -> Result<Vec<u8>, Error> {
    let mut headers = HeaderMap::new();
    headers.insert("Accept", HeaderValue::from_static("application/json"));
    let optional = [(EVENT_ID, &publication.event_id), (EVENT_TYPE, &publication.event_type), ("Content-Type", &publication.content_type)];
    for (name, value) in optional {
        if let Some(value) = value {
            let name = name.to_ascii_lowercase();
            let value = http::header_value(&name, value)?;
            headers.insert(reqwest::header::HeaderName::from_bytes(name.as_bytes()).expect("the names are constants"), value);
        }
    }
    let response = client.request(Method::POST, url, headers, Some(publication.text), Some(timeout)).await?;
    if !response.status().is_success() {
        return Err(http::status_error(&response, url));
    }
    // It is published, whatever happens to the rest of the answer.
    Ok(http::body(response, url, Some(timeout)).await.unwrap_or_default())
}
