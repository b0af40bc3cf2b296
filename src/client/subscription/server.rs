//! The server of a subscription: its endpoints and protocol family, and the requests besides the
//! subscription itself.

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use super::connection::ResponseFuture;
use super::delivery::Delivery;
use super::detection::{SIDE_REQUEST_TIMEOUT, detect_usual_paths};
use super::family::ServerFamily;
use super::request::{subscription_headers, subscription_url};
use crate::client::cursor::ResumePoint;
use crate::client::dialect::Dialect;
use crate::client::endpoint::Endpoints;
use crate::client::error::Error;
use crate::client::mode::Mode;
use crate::client::statistics::unframed_info;
use crate::client::transport::http::{self, Http};
use crate::client::transport::page;
use crate::client::url::shown;
use crate::message::unix_now;

/// The server of a subscription.
pub(super) struct FollowedServer {
    client: Http,
    endpoints: Endpoints,
    family: ServerFamily,
    /// The usual paths of other protocol families may be tried: the user did not set the family,
    /// and they were not tried before.
    may_try_usual_paths: bool,
    /// The server's clock was requested.
    has_requested_clock: bool,
    /// A subscription request was sent: from then on no message may be lost.
    has_requested: bool,
}

impl FollowedServer {
    /// The server at `endpoints`, which speaks `configured` if the user set it.
    pub(super) fn new(client: Http, endpoints: Endpoints, configured: Option<Dialect>) -> Self {
        Self {
            client,
            endpoints,
            family: ServerFamily::new(configured),
            may_try_usual_paths: configured.is_none(),
            has_requested_clock: false,
            has_requested: false,
        }
    }

    /// The protocol family.
    pub(super) fn family(&self) -> ServerFamily {
        self.family
    }

    /// The protocol family, to record what a response shows.
    pub(super) fn family_mut(&mut self) -> &mut ServerFamily {
        &mut self.family
    }

    /// Returns the URL of the subscription.
    ///
    /// # Errors
    /// Returns [`Error::Request`] if the channels do not form a subscriber URL.
    pub(super) fn url(
        &self,
        mode: Mode,
        delivery: &Delivery,
        sent: &ResumePoint,
    ) -> Result<Url, Error> {
        subscription_url(&self.endpoints, self.family, mode, delivery, sent)
    }

    /// Formats the URL of the subscription for an error.
    ///
    /// # Errors
    /// Returns [`Error::Request`] if the channels do not form a subscriber URL.
    pub(super) fn shown_url(&self, mode: Mode, delivery: &Delivery) -> Result<String, Error> {
        let url = self.url(mode, delivery, &ResumePoint::default())?;
        Ok(shown(&url))
    }

    /// Sends a subscription request.
    pub(super) fn request(&mut self, url: &Url, headers: HeaderMap) -> ResponseFuture {
        let client = self.client.clone();
        let url = url.clone();
        self.has_requested = true;
        Box::pin(async move { client.request(Method::GET, &url, headers, None, None).await })
    }

    /// Requests the server's clock, once, if a subscription in `mode` depends on it: it is the
    /// start of a subscription to new messages. The caller stores the start if `keeps_start`.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached.
    pub(super) async fn learn_clock(
        &mut self,
        mode: Mode,
        keeps_start: bool,
        delivery: &mut Delivery,
    ) -> Result<(), Error> {
        // These modes may send no header before the first message, so the server's clock is
        // requested first.
        let is_silent =
            matches!(mode, Mode::Ws | Mode::Stream | Mode::Lp) && delivery.cursor().is_unknown();
        let is_needed = (is_silent || keeps_start) && !delivery.has_clock();
        if !is_needed || self.has_requested_clock {
            return Ok(());
        }
        let url = self.endpoints.statistics(None)?;
        self.has_requested_clock = true;
        let timeout = Some(SIDE_REQUEST_TIMEOUT);
        let response = self
            .client
            .request(Method::HEAD, &url, HeaderMap::new(), None, timeout)
            .await;
        let response = response_if_reachable(response)?;
        delivery.record_clock(response.as_ref().and_then(http::date));
        if !delivery.has_clock() && keeps_start {
            // The local clock is better than no start.
            delivery.cursor_mut().record_server_clock(unix_now());
        }
        Ok(())
    }

    /// Detects the protocol family of the server with OPTIONS if the first request depends on it:
    /// positions and backlogs are written differently.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached or does not support the requested start.
    pub(super) async fn probe(&mut self, mode: Mode, delivery: &mut Delivery) -> Result<(), Error> {
        let channels = delivery.channels();
        let has_backlog = channels.iter().any(|channel| channel.backlog.is_some());
        let is_needed = delivery.cursor().has_position() || has_backlog;
        if self.family.needs_probe(is_needed) {
            let response = self.request_options(mode, &delivery.ids()).await;
            let shown = match &response {
                Ok(Some(response)) => Dialect::of_options(response.status(), response.headers()),
                Ok(None) | Err(_) => None,
            };
            self.family.record_probe(shown);
            delivery.apply_family(self.family);
            response?;
        }
        if has_backlog && self.family.is_unframed() {
            let reason = "the server speaks nhpm or nchan, which cannot start N messages back";
            let remedy = "use --since all or a time, or --dialect nchan for a channel whose name \
                        ends in '.b' and digits";
            return Err(Error::Request(format!("{reason} ({remedy})")));
        }
        Ok(())
    }

    async fn request_options(
        &self,
        mode: Mode,
        channels: &[String],
    ) -> Result<Option<reqwest::Response>, Error> {
        let url = self.endpoints.subscribe(mode, &channels.join("/"))?;
        let headers = subscription_headers(self.family, mode, &ResumePoint::default())?;
        let response = self
            .client
            .request(Method::OPTIONS, &url, headers, None, None)
            .await;
        response_if_reachable(response)
    }

    /// Handles a missing location: looks, once, for a server of another protocol family at its
    /// usual path. Returns its family.
    ///
    /// # Errors
    /// Returns [`Error::Request`] if the paths are not valid URLs.
    pub(super) async fn find_usual_path(
        &mut self,
        error: &Error,
        channels: &[String],
    ) -> Result<Option<Dialect>, Error> {
        let is_missing = matches!(
            error,
            Error::Status {
                status: 404,
                explain: None,
                ..
            }
        );
        if !is_missing || !std::mem::replace(&mut self.may_try_usual_paths, false) {
            return Ok(None);
        }
        let found = detect_usual_paths(&self.client, &self.endpoints, &channels.join("/")).await?;
        let Some((endpoints, dialect)) = found else {
            return Ok(None);
        };
        self.endpoints = endpoints;
        self.family.record_usual_path(dialect);
        Ok(Some(dialect))
    }

    /// Returns what the next request sends to resume.
    ///
    /// # Errors
    /// Returns [`Error::Request`] if the channels do not form a publisher URL.
    pub(super) async fn resume_point(
        &self,
        mode: Mode,
        delivery: &mut Delivery,
    ) -> Result<ResumePoint, Error> {
        if self.family.omits_position() {
            return Ok(ResumePoint::default());
        }
        if self.family.is_unframed() {
            return self.unframed_resume_point(delivery).await;
        }
        let ids = delivery.ids();
        let cursor = delivery.cursor_mut();
        Ok(match mode {
            _ if !self.has_requested && !cursor.has_position() => ResumePoint::default(),
            Mode::Lp | Mode::Poll => cursor.for_request(&ids),
            Mode::Ev | Mode::Ws | Mode::Stream => cursor.for_stream(&ids),
        })
    }

    /// Returns the resume point of the next request to NHPM or nchan. A start by time is left out
    /// by default, because nchan 1.3 crashes on a message id in a channel that exists and has no
    /// messages. Without it a location with `nchan_subscriber_first_message newest` would ignore
    /// the start. So it is sent if the channels are known to have messages.
    ///
    /// # Errors
    /// Returns [`Error::Request`] if the channels do not form a publisher URL.
    async fn unframed_resume_point(&self, delivery: &mut Delivery) -> Result<ResumePoint, Error> {
        let dialect = self.family.dialect();
        let sent = delivery.cursor().for_unframed(dialect);
        let ids = delivery.ids();
        let start = delivery
            .cursor()
            .unsent_start(ids.len())
            .filter(|_| dialect == Some(Dialect::Nchan) && sent == ResumePoint::default());
        let Some(start) = start else { return Ok(sent) };
        for id in ids {
            match self.stored_messages(&id).await? {
                Some(0) => return Ok(sent),
                Some(_) => {}
                None => {
                    delivery.report_uncertain_start(shown(&self.endpoints.publish(&id)?));
                    return Ok(sent);
                }
            }
        }
        Ok(start)
    }

    /// Requests the number of stored messages of a channel from its publisher location; `None` if
    /// the location does not report it.
    async fn stored_messages(&self, channel: &str) -> Result<Option<u64>, Error> {
        let Some(url) = self.endpoints.unframed_statistics(Some(channel))? else {
            return Ok(None);
        };
        let mut headers = HeaderMap::new();
        headers.insert("Accept", HeaderValue::from_static("application/json"));
        let timeout = Some(SIDE_REQUEST_TIMEOUT);
        let Ok(response) = self
            .client
            .request(Method::GET, &url, headers, None, timeout)
            .await
        else {
            return Ok(None);
        };
        let is_page = http::header(&response, "Content-Type").is_some_and(page::is_html);
        match response.status() {
            // nchan has no such channel yet; with a page as body, the location does not exist.
            StatusCode::NOT_FOUND if !is_page => Ok(Some(0)),
            StatusCode::OK => {
                let body = http::body(response, &url, timeout)
                    .await
                    .unwrap_or_default();
                let info = unframed_info::to_push_stream(&body, channel);
                let info: Option<serde_json::Value> =
                    info.and_then(|info| serde_json::from_slice(&info).ok());
                Ok(info.and_then(|info| info.get("stored_messages")?.as_u64()))
            }
            _ => Ok(None),
        }
    }
}

/// Returns the response, or `None` after a failure that does not prevent a subscription.
///
/// # Errors
/// Returns the error if the server cannot be reached.
fn response_if_reachable(
    result: Result<reqwest::Response, Error>,
) -> Result<Option<reqwest::Response>, Error> {
    match result {
        Ok(response) => Ok(Some(response)),
        Err(
            error @ (Error::Unreachable { .. }
            | Error::ProxyUnreachable { .. }
            | Error::Untrusted { .. }),
        ) => Err(error),
        Err(_) => Ok(None),
    }
}
