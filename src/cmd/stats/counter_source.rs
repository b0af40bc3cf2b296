//! Where `stats` requests its counters.

use std::time::Duration;

use crate::client::statistics::{self, Report, StatisticsResponse};
use crate::client::{Endpoints, Error, Http};

/// Time limit of a request, by default.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Source of the counters.
#[derive(Clone, Debug)]
pub(super) struct CounterSource {
    pub(super) client: Http,
    pub(super) endpoints: Endpoints,
    /// The requested channel; `None` for the whole server.
    pub(super) channel: Option<String>,
}

impl CounterSource {
    /// Requests the counters.
    pub(super) async fn request(&self, timeout: Duration) -> Result<StatisticsResponse, Error> {
        statistics::request_statistics(
            &self.client,
            &self.endpoints,
            self.channel.as_deref(),
            timeout,
        )
        .await
    }

    /// Requests and parses the counters.
    pub(super) async fn report(&self, timeout: Duration) -> Result<Report, Error> {
        self.request(timeout).await?.report()
    }
}
