//! Counters of a channel or of the server, on which `pushctl wait` has its conditions.

use std::fmt;
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::json;

use crate::client::statistics::{self, Report};
use crate::client::{Endpoints, Error, Http};
use crate::cmd::output::escape::printable;

/// Time limit for a response: a request to a server that hangs is repeated.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Channels to poll (`None`: the server), with their URLs.
pub(super) struct WaitTarget<'a> {
    pub(super) endpoints: &'a Endpoints,
    pub(super) urls: &'a [(Option<&'a str>, Url)],
}

/// The counters of a channel or of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    channel: Option<String>,
    /// `None` if the server does not report it.
    pub(super) published: Option<u64>,
    pub(super) stored: u64,
    pub(super) subscribers: u64,
}

impl Counters {
    pub(super) fn to_json(&self) -> String {
        let Self {
            channel,
            published,
            stored,
            subscribers,
        } = self;
        json!({
            "channel": channel,
            "published_messages": published,
            "stored_messages": stored,
            "subscribers": subscribers,
        })
        .to_string()
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channel,
            published,
            stored,
            subscribers,
        } = self;
        let name = channel
            .as_deref()
            .map_or_else(|| "the server".to_owned(), printable);
        let plural = if *subscribers == 1 { "" } else { "s" };
        let published = published
            .map(|published| format!("{published} published, "))
            .unwrap_or_default();
        write!(
            formatter,
            "{name}: {published}{stored} stored, {subscribers} subscriber{plural}"
        )
    }
}

/// Requests the counters of the target once; with `only_ready`, only checks that the server is up
/// and returns none.
pub(super) async fn poll(
    client: &Http,
    target: &WaitTarget<'_>,
    only_ready: bool,
) -> Result<Vec<Counters>, Error> {
    let mut seen = Vec::new();
    for (channel, url) in target.urls {
        if only_ready {
            check_ready(client, url).await?;
        } else {
            seen.push(request_counters(client, target.endpoints, *channel).await?);
        }
    }
    Ok(seen)
}

/// Succeeds on any response except that of a proxy whose server is down.
async fn check_ready(client: &Http, url: &Url) -> Result<(), Error> {
    let response = client
        .request(
            Method::GET,
            url,
            reqwest::header::HeaderMap::new(),
            None,
            Some(RESPONSE_TIMEOUT),
        )
        .await?;
    if matches!(response.status().as_u16(), 502..=504) {
        return Err(crate::client::transport::http::status_error(&response, url));
    }
    Ok(())
}

/// Requests the counters of a channel (`None`: of the server). A channel that does not exist has
/// counters of 0.
async fn request_counters(
    client: &Http,
    endpoints: &Endpoints,
    channel: Option<&str>,
) -> Result<Counters, Error> {
    let empty = Counters {
        channel: channel.map(str::to_owned),
        published: Some(0),
        ..Counters::default()
    };
    let requested =
        statistics::request_statistics(client, endpoints, channel, RESPONSE_TIMEOUT).await;
    let response = match requested {
        Ok(response) => response,
        Err(Error::NoChannel {
            hides_published, ..
        }) => {
            return Ok(Counters {
                published: (!hides_published).then_some(0),
                ..empty
            });
        }
        Err(error) => return Err(error),
    };
    match (response.report()?, channel) {
        (Report::Summary(summary), None) => Ok(Counters {
            published: Some(summary.published_messages),
            stored: summary.stored_messages,
            subscribers: summary.subscribers,
            ..empty
        }),
        (Report::Channels(infos), Some(_)) => Ok(match infos.first() {
            Some(info) => Counters {
                published: (!info.hides_published).then_some(info.published_messages),
                stored: info.stored_messages,
                subscribers: info.subscribers,
                ..empty
            },
            None => empty,
        }),
        _ => Err(response.unreadable()),
    }
}
