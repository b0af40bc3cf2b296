//! A subscription: connects, reads, reconnects with back-off, and returns every message once.
//!
//! ```text
//! Subscription ─ server: endpoints, family, request      modes: which mode is used
//!              ─ link: pending request or connection     timers: how long to wait for it
//!              ─ delivery: cursor, events                reconnect: when the next attempt is
//! ```

mod connection;
mod delivery;
pub mod detection;
mod event;
mod family;
mod modes;
mod notice;
mod reconnect;
mod request;
mod retry;
mod server;
mod settings;
mod silence;
mod timers;

use reqwest::{Response, StatusCode};

use self::connection::{Link, MessageConnection, PendingRequest, Progress, StreamSettings};
use self::delivery::{Delivery, Receipt};
use self::modes::ModeSelection;
use self::reconnect::Reconnect;
use self::request::subscription_headers;
use self::server::FollowedServer;
use self::timers::{Timer, Timers};
use super::dialect::Dialect;
use super::endpoint::Endpoints;
use super::error::Error;
use super::mode::Mode;
use super::transport::http::Http;
use super::transport::{http, lp, ws};

pub use event::Event;
pub use notice::Notice;
pub use settings::{FollowedChannel, SubscriptionSettings, SubscriptionStart};

/// A running subscription.
pub struct Subscription {
    server: FollowedServer,
    modes: ModeSelection,
    link: Link,
    delivery: Delivery,
    timers: Timers,
    reconnect: Reconnect,
    /// The caller stores the start and receives it before all other events.
    keeps_start: bool,
    /// Maximum size in bytes of a message and of a poll response.
    max_message_bytes: usize,
}

impl Subscription {
    /// Creates a subscription, which connects with the first call of [`Self::next`].
    #[must_use]
    pub fn new(client: Http, endpoints: Endpoints, settings: SubscriptionSettings) -> Self {
        let cursor = settings.cursor();
        let server = FollowedServer::new(client, endpoints, settings.dialect);
        let mut delivery = Delivery::new(settings.channels, cursor);
        delivery.apply_family(server.family());
        Self {
            server,
            modes: ModeSelection::new(settings.modes),
            link: Link::Down,
            delivery,
            timers: Timers::new(settings.silence, settings.keeps_start),
            reconnect: Reconnect::new(settings.retries, settings.interval),
            keeps_start: settings.keeps_start,
            max_message_bytes: settings.max_message_bytes,
        }
    }

    /// Returns the next event, or `None` after the last channel was deleted. Not cancel-safe.
    ///
    /// # Errors
    /// Returns the error that ended the subscription: a final one, or the first one beyond the
    /// permitted retries.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.delivery.next_event() {
                return Ok(Some(event));
            }
            if self.delivery.channels().is_empty() {
                return Ok(None);
            }
            if let Err(error) = self.advance().await {
                self.link = Link::Down;
                return self.handle_error(error).map(Some);
            }
        }
    }

    /// True if the next event is available without waiting.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        self.delivery.has_events()
    }

    /// Takes one step: sends a request, waits for the response, or reads from the connection.
    async fn advance(&mut self) -> Result<(), Error> {
        if matches!(self.link, Link::Down) {
            if let Some(pause) = self.reconnect.take_pause() {
                tokio::time::sleep(pause).await;
            }
            return self.connect().await;
        }
        match self.wait().await? {
            Progress::Responded(pending, response) => {
                self.handle_response(pending, *response).await
            }
            Progress::Read(Some(messages)) => {
                self.timers.record_messages(&messages, self.modes.current());
                self.modes.record_data();
                let receipt = self.delivery.accept(messages, self.timers.has_waited());
                self.record_receipt(receipt);
                Ok(())
            }
            Progress::Read(None) => self.handle_end(),
            Progress::Waiting => Ok(()),
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        let mode = self.modes.current();
        self.server
            .learn_clock(mode, self.keeps_start, &mut self.delivery)
            .await?;
        self.delivery.report_start();
        if self.delivery.has_events() {
            // Deliver the start before a wait that may be long.
            return Ok(());
        }
        self.server.probe(mode, &mut self.delivery).await?;
        let sent = self.server.resume_point(mode, &mut self.delivery).await?;
        let url = self.server.url(mode, &self.delivery, &sent)?;
        let mut headers = subscription_headers(self.server.family(), mode, &sent)?;
        let key = (mode == Mode::Ws).then(|| ws::add_handshake(&mut headers));
        let cursor = self.delivery.cursor_mut();
        let is_common = cursor.is_common();
        cursor.record_request(is_common && self.modes.is_poll() && sent.tag.is_some());
        self.reconnect.record_request();
        self.timers.record_request();
        self.link = Link::Requested(PendingRequest {
            response: self.server.request(&url, headers),
            url,
            key,
            is_common,
        });
        Ok(())
    }

    /// Records what a response or an event shows about the protocol family.
    fn record_dialect(&mut self, shown: Option<Dialect>) {
        let is_poll = self.modes.is_poll();
        self.server.family_mut().record_response(shown, is_poll);
        self.delivery.apply_family(self.server.family());
    }

    fn record_receipt(&mut self, receipt: Receipt) {
        self.reconnect.record_use(receipt.is_success);
        if receipt.has_data {
            self.server.family_mut().record_message();
        }
        if receipt.has_new {
            self.record_success();
        }
    }

    fn record_success(&mut self) {
        self.reconnect.record_success();
        self.modes.record_success();
    }

    async fn handle_response(
        &mut self,
        pending: PendingRequest,
        response: Response,
    ) -> Result<(), Error> {
        self.timers.record_response();
        self.record_dialect(Dialect::of_response(response.status(), response.headers()));
        if self.handle_unframed_status(&response) {
            return Ok(());
        }
        let is_good = match response.status() {
            StatusCode::OK | StatusCode::NOT_MODIFIED => true,
            StatusCode::SWITCHING_PROTOCOLS => pending.key.is_some(),
            _ => false,
        };
        if !is_good {
            let error = http::status_error(&response, &pending.url);
            return self.handle_error_status(error).await;
        }
        self.delivery.record_clock(http::date(&response));
        self.link = Link::Up(self.open(pending, response).await?);
        self.modes.record_response();
        self.reconnect.record_response();
        self.delivery.report_start();
        self.reconnect.record_connection();
        Ok(())
    }

    /// Handles an error status: the next request goes to the usual path of another protocol family,
    /// if the server has one.
    async fn handle_error_status(&mut self, error: Error) -> Result<(), Error> {
        let ids = self.delivery.ids();
        let Some(dialect) = self.server.find_usual_path(&error, &ids).await? else {
            return Err(error.with_path_option("--sub-path"));
        };
        self.delivery.apply_family(self.server.family());
        if dialect == Dialect::Nhpm && !self.modes.is_poll() {
            // NHPM has no streams.
            self.modes.restrict_to(Mode::Lp);
            self.delivery.report(Event::ModeFallback(error, Mode::Lp));
        }
        Ok(())
    }

    /// Handles the statuses of NHPM and nchan. Returns true if there is no body to read.
    fn handle_unframed_status(&mut self, response: &Response) -> bool {
        let family = self.server.family();
        if !family.is_unframed() && family.dialect().is_some() {
            return false;
        }
        let receipt = match response.status() {
            StatusCode::FORBIDDEN if self.modes.current() == Mode::Stream => {
                return self.server.family_mut().record_rejected_stream();
            }
            StatusCode::REQUEST_TIMEOUT if self.modes.is_poll() => {
                self.delivery.record_clock(http::date(response));
                Receipt {
                    is_success: self.timers.has_waited(),
                    ..Receipt::default()
                }
            }
            // A server that stops or reloads sends the same status and closes the connection.
            StatusCode::GONE if self.modes.is_poll() && family.is_unframed() => {
                match http::header(response, "Connection") {
                    Some(value) if value.eq_ignore_ascii_case("close") => Receipt::default(),
                    _ => self.delivery.accept_deletion(),
                }
            }
            _ => return false,
        };
        self.record_receipt(receipt);
        self.reconnect.record_response();
        self.modes.record_empty_response();
        self.link = Link::Up(MessageConnection::PollResponse);
        true
    }

    async fn open(
        &mut self,
        pending: PendingRequest,
        response: Response,
    ) -> Result<MessageConnection, Error> {
        let limit = self.max_message_bytes;
        let is_unframed = self.server.family().is_unframed();
        let channels = self.delivery.ids();
        if !self.modes.is_poll() {
            let settings = StreamSettings {
                mode: self.modes.current(),
                channels,
                is_unframed,
                max_message_bytes: limit,
            };
            let connection =
                MessageConnection::open(response, pending.url, pending.key, settings).await?;
            self.delivery.cursor_mut().record_endless_connection();
            return Ok(connection);
        }
        // A 304 after a wait is the server's time-out and counts as a success: poll again at once.
        if response.status() == StatusCode::NOT_MODIFIED && self.timers.has_waited() {
            self.reconnect.record_use(true);
            self.record_success();
        }
        let unframed = is_unframed.then_some(channels);
        let response =
            lp::PollResponse::read(response, &pending.url, unframed.as_deref(), limit).await?;
        let has_waited = self.timers.has_waited();
        let receipt = self
            .delivery
            .accept_poll(response, pending.is_common, has_waited);
        self.record_receipt(receipt);
        Ok(MessageConnection::PollResponse)
    }

    /// Waits for data or for the next timer.
    async fn wait(&mut self) -> Result<Progress, Error> {
        let next = self.timers.next(
            self.modes.current(),
            matches!(self.link, Link::Requested(_)),
            self.modes.has_alternative(),
        );
        let progress = match next {
            None => self.link.progress().await,
            Some((due, timer)) => {
                match tokio::time::timeout_at(due.into(), self.link.progress()).await {
                    Ok(progress) => progress,
                    Err(_) => return self.handle_timer(timer).map(|()| Progress::Waiting),
                }
            }
        }?;
        self.record_dialect(self.link.shown_dialect());
        Ok(progress)
    }

    fn handle_timer(&mut self, timer: Timer) -> Result<(), Error> {
        match timer {
            Timer::Backlogs => {
                self.timers.record_backlog_wait();
                self.delivery.report_start_without_backlogs();
            }
            Timer::Notice => {
                self.timers.record_notice();
                if let Some(notice) = self.link.no_response() {
                    self.delivery.report(Event::Notice(notice));
                }
            }
            Timer::Silence if self.link.take_activity() => self.timers.record_bytes(),
            Timer::Silence => {
                let url = self
                    .server
                    .shown_url(self.modes.current(), &self.delivery)?;
                if self.timers.is_silence_total() {
                    self.reconnect.record_silence();
                }
                let after = self.timers.silent_time(self.modes.has_alternative());
                return Err(Error::Silent { url, after });
            }
        }
        Ok(())
    }

    /// Handles the regular end of the connection.
    fn handle_end(&mut self) -> Result<(), Error> {
        let is_unframed = self.server.family().is_unframed();
        // nchan ends idle streams after a time-out, like long-polls.
        self.reconnect
            .record_use(is_unframed && self.reconnect.has_waited());
        let is_stable = self.finish_if_stable();
        self.reconnect.record_use(is_stable);
        let is_success = self.reconnect.is_success();
        if is_success {
            self.record_success();
        }
        let mode_fails = !is_success && self.modes.is_near_failure();
        let ended = std::mem::replace(&mut self.link, Link::Down);
        let is_endless = !matches!(ended, Link::Up(MessageConnection::PollResponse));
        if !is_endless {
            self.delivery.cursor_mut().complete_backlogs();
            self.delivery.report_start();
        }
        if mode_fails {
            return Err(Error::Broken {
                url: self
                    .server
                    .shown_url(self.modes.current(), &self.delivery)?,
                reason: "it ends repeatedly without a message".to_owned(),
            });
        }
        if !is_success {
            self.modes.record_failure();
            if is_endless {
                // A stream without framing that breaks looks like one that ends.
                self.server.family_mut().record_break();
            }
        }
        self.reconnect
            .pause_after_end(self.modes.current(), is_endless, is_unframed);
        Ok(())
    }

    /// Records the end of a connection. Returns true if it had been up long enough to count as a
    /// success.
    fn finish_if_stable(&mut self) -> bool {
        let is_stable = self.reconnect.take_stable();
        if is_stable {
            self.delivery.cursor_mut().complete_backlogs();
            self.delivery.report_start();
            self.record_success();
        }
        is_stable
    }

    fn handle_error(&mut self, error: Error) -> Result<Event, Error> {
        self.finish_if_stable();
        self.modes.record_failure();
        if matches!(error, Error::Broken { .. }) {
            self.server.family_mut().record_break();
        }
        self.modes
            .fall_back(error)
            .or_else(|error| self.reconnect.retry_after(error))
    }
}
