//! The requests of a run besides its load: confirmation of the subscribers and deletion of the
//! channels.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use tokio::time::sleep;

use super::args::Args;
use super::pool::SubscriberPool;
use super::subscribers::RunPart;
use crate::client::mode::Mode;
use crate::client::statistics::{self, Report as Statistics};
use crate::client::url::shown;
use crate::client::{Endpoints, Error, Http};
use crate::cmd::output::note;

/// Interval of the checks while waiting.
pub(super) const TICK: Duration = Duration::from_millis(50);
/// Time-out of the cleanup.
pub(super) const DELETE_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of channels per DELETE request, to keep its request line short.
const CHANNELS_PER_DELETE: usize = 50;

/// The server of a run.
pub(super) struct BenchServer<'a> {
    pub(super) args: &'a Args,
    pub(super) endpoints: &'a Endpoints,
    pub(super) client: &'a Http,
    pub(super) part: &'a RunPart,
}

impl BenchServer<'_> {
    /// Waits until the server counts all subscribers. If it has no statistics, it must have
    /// responded to all of them, which long-polling cannot show.
    pub(super) async fn confirm(&self, pool: &SubscriberPool) -> anyhow::Result<()> {
        let url = self
            .endpoints
            .statistics(Some(&format!("{}*", self.part.prefix)))?;
        let wanted = self.args.subscribers;
        let mut counts = true;
        loop {
            if let Some(error) = pool.take_failure() {
                return Err(error);
            }
            let tally = pool.tally();
            if tally.requested == wanted && counts {
                match self.count(&url).await? {
                    Some(count) if count >= wanted as u64 => return Ok(()),
                    Some(_) => {}
                    None => counts = false,
                }
            }
            if !counts
                && tally.requested == wanted
                && (tally.responded == wanted || self.args.mode == Mode::Lp)
            {
                note(format_args!(
                    "{} has no statistics, so the server's number of subscribers is not checked \
                     (see --stats-path)",
                    shown(&url)
                ));
                return Ok(());
            }
            sleep(TICK).await;
        }
    }

    /// Returns the number of subscribers from the statistics, or from the publisher location of
    /// each channel, as in nchan.
    async fn count(&self, url: &Url) -> anyhow::Result<Option<u64>> {
        match statistics::fetch(self.client, url, self.args.timeout).await {
            Ok(body) => {
                if let Some(Statistics::Channels(infos)) = Statistics::from_json(&body) {
                    return Ok(Some(infos.iter().map(|info| info.subscribers).sum()));
                }
            }
            Err(Error::Status { .. } | Error::Moved { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let mut sum = 0;
        for number in 0..self.args.channels {
            let Some(count) = self.count_channel(number).await? else {
                return Ok(None);
            };
            sum += count;
        }
        Ok(Some(sum))
    }

    async fn count_channel(&self, number: usize) -> anyhow::Result<Option<u64>> {
        let url = self.endpoints.publish(&self.part.channel(number))?;
        let body = match statistics::fetch(self.client, &url, self.args.timeout).await {
            Ok(body) => body,
            Err(Error::Status { .. } | Error::Moved { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let info: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        Ok(info.and_then(|info| info.get("subscribers")?.as_u64()))
    }

    /// Deletes the channels, if the server allows it: a publisher location need not accept DELETE.
    pub(super) async fn delete_channels(&self) {
        let channels: Vec<String> = (0..self.args.channels)
            .map(|number| self.part.channel(number))
            .collect();
        for some in channels.chunks(CHANNELS_PER_DELETE) {
            match self.delete(&some.join("/")).await {
                Some(StatusCode::NOT_FOUND) if some.len() > 1 => {
                    // nchan treats several ids as one.
                    for channel in some {
                        self.delete(channel).await;
                    }
                }
                // Some channels may not have been created.
                Some(status) if status.is_success() || status == StatusCode::NOT_FOUND => {}
                _ => return,
            }
        }
    }

    async fn delete(&self, channels: &str) -> Option<StatusCode> {
        let url = self.endpoints.publish(channels).ok()?;
        let mut headers = HeaderMap::new();
        headers.insert("Accept", HeaderValue::from_static("application/json"));
        let response = self
            .client
            .request(Method::DELETE, &url, headers, None, Some(DELETE_TIMEOUT))
            .await;
        response.ok().map(|response| response.status())
    }
}
