//! A subscription: connects, reads, reconnects with back-off, and returns every message once.
//!
//! All modes share this loop; each mode's own module decodes bytes into messages.

pub mod detection;
mod disconnect;
mod dispatch;
mod event;
mod notice;
mod request;
mod retry;
mod settings;
mod silence;
mod unframed;
mod wait;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode, Url};

use self::retry::Backoff;
use self::silence::Silence;
use super::cursor::{Cursor, ResumePoint};
use super::dialect::Dialect;
use super::endpoint::Endpoints;
use super::error::Error;
use super::mode::Mode;
use super::transport::http::Http;
use super::transport::{ev, http, lp, stream, ws};

pub use event::Event;
pub use notice::Notice;
pub use settings::{Channel, Settings, Start};
use wait::{Pending, Progress};

/// A connection that was up for this long counts as a success, even without messages.
const STABLE_AFTER: Duration = Duration::from_secs(5);
/// A poll response without messages that took this long is the server's time-out. A faster one must
/// not be repeated at once.
const MIN_POLL_WAIT: Duration = Duration::from_secs(1);

/// Time-out of the request for the server's clock, without which a subscription still works.
const CLOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// After this many broken connections to nchan in a row, each without a message, the request is
/// sent without a message id: nchan crashes on an id in a channel whose messages have expired
/// (nhpm-nchan.md, section 2.3). The cursor drops the repeated messages.
const MAX_BREAKS: u32 = 3;
/// A mode that worked and then failed this often in a row, without a message, gives way to the next
/// one.
const MODE_FAILURES: u32 = 3;

enum Connection {
    Stream(stream::StreamConnection),
    Ev(ev::EventSourceConnection),
    Ws(Box<ws::WebSocketConnection>),
    /// A poll response, which was read to its end.
    PollResponse,
}

/// A running subscription.
pub struct Subscription {
    client: Http,
    endpoints: Endpoints,
    settings: Settings,
    cursor: Cursor,
    backoff: Backoff,
    /// A request without a response yet.
    pending: Option<Pending>,
    connection: Option<Connection>,
    ready: VecDeque<Event>,
    /// Index of the current mode in the settings.
    mode: usize,
    /// Modes that failed one after the other.
    failed_modes: usize,
    first_error: Option<Error>,
    /// True once the current mode had a response.
    mode_works: bool,
    /// Failures of the current mode since its last message.
    mode_failures: u32,
    /// Delay before the next attempt.
    pause: Option<Duration>,
    /// True once a subscription request was sent: from then on no message may be lost.
    has_requested: bool,
    /// True once the server has responded.
    has_responded: bool,
    /// The server's clock at its first response, and the local time.
    clock: Option<(u64, Instant)>,
    /// When the current connection was established.
    up_since: Option<Instant>,
    /// True if the current connection delivered something new.
    has_delivered: bool,
    /// When the last subscription request was sent.
    requested_at: Instant,
    /// The protocol family of the server, if known.
    dialect: Option<Dialect>,
    /// The server's protocol family was requested with OPTIONS.
    has_probed: bool,
    /// The server may be NHPM as well as nchan: their poll responses are the same.
    is_dialect_uncertain: bool,
    /// Broken connections to nchan in a row, without a message.
    breaks: u32,
    /// The location of nchan supports chunked streams and no multipart ones.
    is_chunked: bool,
    /// The usual paths of other protocol families were tried.
    has_detected: bool,
    /// Detects silent connections.
    silence: Silence,
    /// The current mode delivered more than a response head.
    has_data_in_mode: bool,
    /// The first mode that had a response and stayed silent: the fallback if no other mode works.
    silent_mode: Option<usize>,
    /// The subscription returned to `silent_mode`: all others failed.
    has_returned_to_silent_mode: bool,
    /// The server's clock was requested.
    has_requested_clock: bool,
    /// The timer for outstanding backlogs has fired.
    has_waited_for_backlogs: bool,
    /// The missing response was reported to the user.
    has_reported_waiting: bool,
    /// The uncertain start was reported to the user.
    has_reported_start: bool,
}

impl Subscription {
    /// Creates a subscription, which connects with the first call of [`Self::next`].
    #[must_use]
    pub fn new(client: Http, endpoints: Endpoints, settings: Settings) -> Self {
        let mut cursor = settings.cursor();
        let silence = Silence::new(settings.silence, Instant::now());
        if settings.dialect.is_some_and(Dialect::is_unframed) {
            cursor.set_unframed();
        }
        Self {
            client,
            endpoints,
            cursor,
            dialect: settings.dialect,
            has_probed: false,
            is_dialect_uncertain: false,
            breaks: 0,
            is_chunked: false,
            settings,
            backoff: Backoff::default(),
            pending: None,
            connection: None,
            ready: VecDeque::new(),
            has_detected: false,
            silence,
            has_data_in_mode: false,
            silent_mode: None,
            has_returned_to_silent_mode: false,
            has_requested_clock: false,
            has_waited_for_backlogs: false,
            has_reported_waiting: false,
            has_reported_start: false,
            mode: 0,
            failed_modes: 0,
            first_error: None,
            mode_works: false,
            mode_failures: 0,
            pause: None,
            has_requested: false,
            has_responded: false,
            clock: None,
            up_since: None,
            has_delivered: false,
            requested_at: Instant::now(),
        }
    }

    /// Returns the next event, or `None` after the last channel was deleted. Not cancel-safe.
    ///
    /// # Errors
    /// Returns the error that ended the subscription: a final one, or the first one beyond the
    /// permitted retries.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.settings.channels.is_empty() {
                return Ok(None);
            }
            if let Err(error) = self.advance().await {
                (self.connection, self.pending) = (None, None);
                return self.handle_error(error).map(Some);
            }
        }
    }

    /// True if the next event is available without waiting.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes one step: sends a request, waits for the response, or reads from the connection.
    async fn advance(&mut self) -> Result<(), Error> {
        if self.connection.is_none() && self.pending.is_none() {
            if let Some(pause) = self.pause.take() {
                tokio::time::sleep(pause).await;
            }
            return self.connect().await;
        }
        match self.wait().await? {
            Progress::Responded(pending, response) => {
                self.handle_response(pending, *response).await
            }
            Progress::Read(Some(messages)) => {
                self.record_activity(&messages);
                self.accept(messages);
                Ok(())
            }
            Progress::Read(None) => self.handle_end(),
            Progress::Waiting => Ok(()),
        }
    }

    fn mode(&self) -> Mode {
        self.settings.modes[self.mode]
    }

    fn succeeded(&mut self) {
        self.backoff.record_success();
        self.mode_failures = 0;
    }

    async fn connect(&mut self) -> Result<(), Error> {
        // These modes may send no header before the first message, so the server's clock is
        // requested first.
        let mode = self.mode();
        let is_silent =
            matches!(mode, Mode::Ws | Mode::Stream | Mode::Lp) && self.cursor.is_unknown();
        if (is_silent || self.settings.keeps_start)
            && self.clock.is_none()
            && !self.has_requested_clock
        {
            self.request_clock().await?;
        }
        self.report_start();
        if !self.ready.is_empty() {
            // Deliver the start before a wait that may be long.
            return Ok(());
        }
        let ids = self.ids();
        self.probe().await?;
        let sent = match mode {
            _ if self.is_unframed() && self.breaks >= MAX_BREAKS => ResumePoint::default(),
            _ if self.is_unframed() => self.unframed_resume_point().await?,
            _ if !self.has_requested && !self.cursor.has_position() => ResumePoint::default(),
            Mode::Lp | Mode::Poll => self.cursor.for_request(&ids),
            Mode::Ev | Mode::Ws | Mode::Stream => self.cursor.for_stream(&ids),
        };
        let url = self.url(&sent)?;
        let mut headers = self.headers(&sent)?;
        let key = (mode == Mode::Ws).then(|| ws::add_handshake(&mut headers));
        let is_common = self.cursor.is_common();
        self.cursor.record_request(
            is_common && matches!(mode, Mode::Lp | Mode::Poll) && sent.tag.is_some(),
        );
        self.has_requested = true;
        self.requested_at = Instant::now();
        self.has_delivered = false;
        self.silence.record_request(self.requested_at);
        let response = self.request(&url, headers);
        self.pending = Some(Pending {
            response,
            url,
            key,
            is_common,
        });
        Ok(())
    }

    async fn handle_response(&mut self, pending: Pending, response: Response) -> Result<(), Error> {
        let Pending {
            url,
            key,
            is_common,
            ..
        } = pending;
        self.silence.record_response(Instant::now());
        self.set_dialect(Dialect::of_response(response.status(), response.headers()));
        if self.handle_unframed_status(&response) {
            return Ok(());
        }
        let is_good = match response.status() {
            StatusCode::OK | StatusCode::NOT_MODIFIED => true,
            StatusCode::SWITCHING_PROTOCOLS => key.is_some(),
            _ => false,
        };
        if !is_good {
            let error = http::status_error(&response, &url);
            return if self.detect(&error).await? {
                Ok(())
            } else {
                Err(error.with_path_option("--sub-path"))
            };
        }
        self.record_clock(&response);
        self.connection = Some(self.open(response, url, key, is_common).await?);
        // A proxy may hold back a stream that delivers nothing.
        let may_be_held_back =
            matches!(self.mode(), Mode::Ev | Mode::Stream) && self.settings.modes.len() > 1;
        self.has_data_in_mode |= !may_be_held_back;
        // After a mode that works, the silent one may be tried again.
        self.has_returned_to_silent_mode &= may_be_held_back;
        (self.has_responded, self.mode_works) = (true, true);
        if self.has_data_in_mode {
            (self.failed_modes, self.first_error) = (0, None);
        }
        self.report_start();
        self.up_since = Some(Instant::now());
        Ok(())
    }

    async fn open(
        &mut self,
        response: Response,
        url: Url,
        key: Option<String>,
        is_common: bool,
    ) -> Result<Connection, Error> {
        let mode = self.mode();
        let limit = self.settings.max_message_bytes;
        let connection = match (mode, key) {
            (Mode::Ws, Some(key)) => Connection::Ws(Box::new(
                ws::WebSocketConnection::new(response, url, &key, self.ids(), limit).await?,
            )),
            (Mode::Ev, _) => Connection::Ev(ev::EventSourceConnection::new(
                response,
                url,
                self.ids(),
                self.is_unframed(),
                limit,
            )?),
            (Mode::Stream | Mode::Ws, _) => Connection::Stream(stream::StreamConnection::new(
                response,
                url,
                self.ids(),
                self.is_unframed(),
                limit,
            )?),
            (Mode::Lp | Mode::Poll, _) => {
                // A 304 after a wait is the server's time-out and counts as a success: poll again
                // at once.
                self.has_delivered =
                    response.status() == StatusCode::NOT_MODIFIED && self.has_waited();
                if self.has_delivered {
                    self.succeeded();
                }
                let unframed = self.is_unframed().then(|| self.ids());
                self.accept_poll(
                    lp::PollResponse::read(response, &url, unframed.as_deref(), limit).await?,
                    is_common,
                );
                return Ok(Connection::PollResponse);
            }
        };
        self.cursor.record_endless_connection();
        Ok(connection)
    }

    fn has_waited(&self) -> bool {
        self.requested_at.elapsed() >= MIN_POLL_WAIT
    }
}
