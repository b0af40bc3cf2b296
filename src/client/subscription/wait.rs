//! Waiting for a response or for data of a connection, with a limit for both.

use std::pin::Pin;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Method, Response, Url};

use super::event::Event;
use super::notice::Notice;
use super::silence::FIRST_BYTES;
use super::{Connection, MIN_POLL_WAIT, Subscription};
use crate::client::dialect::Dialect;
use crate::client::error::Error;
use crate::client::message::Kind;
use crate::client::message::Message;
use crate::client::mode::Mode;
use crate::client::url::shown;

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>;

/// A request that was sent.
pub(super) struct Pending {
    pub(super) response: ResponseFuture,
    pub(super) url: Url,
    /// The key of a websocket handshake, to verify the response.
    pub(super) key: Option<String>,
    /// The request had the position of all channels.
    pub(super) is_common: bool,
}

/// Result of a wait.
pub(super) enum Progress {
    /// The response head arrived.
    Responded(Pending, Box<Response>),
    /// The connection delivered messages, or its end.
    Read(Option<Vec<Message>>),
    /// Nothing to do: wait again.
    Waiting,
}

/// What happens at the next deadline.
#[derive(Clone, Copy)]
enum Timer {
    /// The server had enough time to send a backlog.
    Backlogs,
    /// Reports to the user that no response arrives.
    Notice,
    /// The connection counts as broken.
    Silence,
}

impl Subscription {
    pub(super) fn request(&self, url: &Url, headers: HeaderMap) -> ResponseFuture {
        let client = self.client.clone();
        let url = url.clone();
        Box::pin(async move { client.request(Method::GET, &url, headers, None, None).await })
    }

    /// Waits for data or for the next timer.
    pub(super) async fn wait(&mut self) -> Result<Progress, Error> {
        let Some((due, timer)) = self.next_timer() else {
            return self.progress().await;
        };
        match tokio::time::timeout_at(due.into(), self.progress()).await {
            Ok(progress) => progress,
            Err(_) => self.handle_timer(timer),
        }
    }

    async fn progress(&mut self) -> Result<Progress, Error> {
        if let Some(pending) = &mut self.pending {
            let response = (&mut pending.response).await;
            let pending = self.pending.take().expect("a request is pending");
            return Ok(Progress::Responded(pending, Box::new(response?)));
        }
        let read = match &mut self.connection {
            Some(Connection::Stream(connection)) => connection.next().await?,
            Some(Connection::Ev(connection)) => {
                let read = connection.next().await?;
                if connection.is_unframed() {
                    self.set_dialect(Some(Dialect::Nchan));
                }
                read
            }
            Some(Connection::Ws(connection)) => connection.next().await?,
            Some(Connection::PollResponse) | None => None,
        };
        Ok(Progress::Read(read))
    }

    /// Records that the connection delivered data.
    pub(super) fn record_activity(&mut self, messages: &[Message]) {
        let now = Instant::now();
        // In these modes messages arrive whole, so a read without messages is a ping or a greeting.
        let is_ping = match messages {
            [] => matches!(self.mode(), Mode::Ev | Mode::Ws),
            _ => messages.iter().all(|message| message.kind() == Kind::Ping),
        };
        if is_ping {
            self.silence.record_ping(now);
        } else {
            self.silence.record_data(now);
        }
        (self.has_data_in_mode, self.has_returned_to_silent_mode) = (true, false);
        (self.failed_modes, self.first_error) = (0, None);
    }

    /// Returns the timer that fires first.
    fn next_timer(&self) -> Option<(Instant, Timer)> {
        let waits_for_backlogs = !self.has_waited_for_backlogs && self.settings.keeps_start;
        let backlogs =
            waits_for_backlogs.then(|| (self.requested_at + MIN_POLL_WAIT, Timer::Backlogs));
        let is_endless = matches!(self.mode(), Mode::Ev | Mode::Ws | Mode::Stream);
        let waits_for_head = is_endless && self.pending.is_some() && !self.has_reported_waiting;
        let notice = waits_for_head.then(|| (self.requested_at + FIRST_BYTES, Timer::Notice));
        let silence = self
            .silence
            .deadline(self.has_alternative())
            .filter(|_| is_endless)
            .map(|due| (due, Timer::Silence));
        // A silence that ends the wait first is reported by its own error.
        let notice = notice.filter(|(due, _)| silence.is_none_or(|(silence, _)| *due < silence));
        [backlogs, notice, silence]
            .into_iter()
            .flatten()
            .min_by_key(|(due, _)| *due)
    }

    /// True if another mode can be tried instead of a silent one.
    fn has_alternative(&self) -> bool {
        self.settings.modes.len() > 1 && !self.is_last_resort() && !self.has_data_in_mode
    }

    /// True if the current mode is silent and all others have failed.
    pub(super) fn is_last_resort(&self) -> bool {
        self.has_returned_to_silent_mode && self.silent_mode == Some(self.mode)
    }

    fn handle_timer(&mut self, timer: Timer) -> Result<Progress, Error> {
        match timer {
            Timer::Backlogs => {
                self.has_waited_for_backlogs = true;
                self.ready
                    .extend(self.cursor.start_without_backlogs().map(Event::Moved));
            }
            Timer::Notice => {
                self.has_reported_waiting = true;
                if let Some(pending) = &self.pending {
                    let notice = Notice::NoResponse {
                        url: shown(&pending.url),
                        after: FIRST_BYTES,
                    };
                    self.ready.push_back(Event::Notice(notice));
                }
            }
            Timer::Silence if self.take_activity() => self.silence.record_data(Instant::now()),
            Timer::Silence => return Err(self.silence_error()?),
        }
        Ok(Progress::Waiting)
    }

    /// True if bytes of an incomplete message arrived since the last call.
    fn take_activity(&mut self) -> bool {
        match &mut self.connection {
            Some(Connection::Ev(connection)) => connection.take_activity(),
            Some(Connection::Ws(connection)) => connection.take_activity(),
            _ => false,
        }
    }

    /// Returns the error of a silent connection.
    fn silence_error(&mut self) -> Result<Error, Error> {
        let url = shown(&self.url(&crate::client::cursor::ResumePoint::default())?);
        let after = self
            .silence
            .limit_with(self.has_alternative())
            .unwrap_or(Duration::ZERO);
        // A limit derived from pings is not exact.
        let after = if after > Duration::from_secs(1) {
            Duration::from_secs(after.as_secs())
        } else {
            after
        };
        if self.silence.is_total() {
            // It was up for a long time, but delivered nothing.
            self.up_since = None;
        }
        Ok(Error::Silent { url, after })
    }

    /// Returns to the mode that responded and stayed silent, if all others have failed; once until
    /// data arrives.
    pub(super) fn return_to_silent_mode(&mut self) -> bool {
        let Some(mode) = self
            .silent_mode
            .filter(|_| !self.has_returned_to_silent_mode)
        else {
            return false;
        };
        self.mode = mode;
        self.has_returned_to_silent_mode = true;
        (self.failed_modes, self.first_error) = (0, None);
        true
    }
}
