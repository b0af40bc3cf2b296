//! Subscriptions to NHPM and nchan: detection of the protocol family, message ids and status codes.

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};

use super::event::Event;
use super::notice::Notice;
use super::{CLOCK_TIMEOUT, Connection, Subscription};
use crate::client::cursor::ResumePoint;
use crate::client::dialect::Dialect;
use crate::client::error::Error;
use crate::client::message::Message;
use crate::client::mode::Mode;
use crate::client::statistics::unframed_info;
use crate::client::transport::{http, page};
use crate::client::url::shown;
use crate::protocol::DELETED_ID;

impl Subscription {
    /// Returns the channel ids in the order of the request.
    pub(super) fn ids(&self) -> Vec<String> {
        self.settings
            .channels
            .iter()
            .map(|channel| channel.id.clone())
            .collect()
    }

    pub(super) fn is_unframed(&self) -> bool {
        self.dialect.is_some_and(Dialect::is_unframed)
    }

    /// Sets the protocol family shown by a response, unless it is already known.
    pub(super) fn set_dialect(&mut self, shown: Option<Dialect>) {
        if let (None, Some(dialect)) = (self.dialect, shown) {
            self.dialect = Some(dialect);
            self.is_dialect_uncertain =
                dialect == Dialect::Nchan && matches!(self.mode(), Mode::Lp | Mode::Poll);
            if dialect.is_unframed() {
                self.cursor.set_unframed();
            }
        }
    }

    /// Detects the protocol family of the server with OPTIONS if the first request depends on it:
    /// positions and backlogs are written differently.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached or does not support the requested start.
    pub(super) async fn probe(&mut self) -> Result<(), Error> {
        let has_backlog = self
            .settings
            .channels
            .iter()
            .any(|channel| channel.backlog.is_some());
        let depends = self.dialect.is_none() && (self.cursor.has_position() || has_backlog);
        if !self.has_probed && (depends || self.is_dialect_uncertain) {
            (self.has_probed, self.is_dialect_uncertain) = (true, false);
            let url = self
                .endpoints
                .subscribe(self.mode(), &self.ids().join("/"))?;
            let headers = self.headers(&ResumePoint::default())?;
            match self
                .client
                .request(Method::OPTIONS, &url, headers, None, None)
                .await
            {
                Ok(response) => {
                    let shown = Dialect::of_options(response.status(), response.headers());
                    self.set_dialect(shown);
                    // The server is one of the two: this shows which one.
                    if self.is_unframed()
                        && self.settings.dialect.is_none()
                        && shown == Some(Dialect::Nhpm)
                    {
                        self.dialect = shown;
                    }
                    self.is_dialect_uncertain = false;
                }
                Err(
                    error @ (Error::Unreachable { .. }
                    | Error::ProxyUnreachable { .. }
                    | Error::Untrusted { .. }),
                ) => return Err(error),
                // Other failures do not prevent a subscription.
                Err(_) => {}
            }
        }
        if has_backlog && self.is_unframed() {
            let reason = "the server speaks nhpm or nchan, which cannot start N messages back";
            let remedy = "use --since all or a time, or --dialect nchan for a channel whose name \
                        ends in '.b' and digits";
            return Err(Error::Request(format!("{reason} ({remedy})")));
        }
        Ok(())
    }

    /// Returns the resume point of the next request. A start by time is left out by default,
    /// because nchan 1.3 crashes on a message id in a channel that exists and has no messages.
    /// Without it a location with `nchan_subscriber_first_message newest` would ignore the start.
    /// So it is sent if the channels are known to have messages.
    ///
    /// # Errors
    /// Returns [`Error::Request`] if the channels do not form a publisher URL.
    pub(super) async fn unframed_resume_point(&mut self) -> Result<ResumePoint, Error> {
        let sent = self.cursor.for_unframed(self.dialect);
        let ids = self.ids();
        let start = self
            .cursor
            .unsent_start(ids.len())
            .filter(|_| self.dialect == Some(Dialect::Nchan) && sent == ResumePoint::default());
        let Some(start) = start else { return Ok(sent) };
        for id in ids {
            match self.stored_messages(&id).await? {
                Some(0) => return Ok(sent),
                Some(_) => {}
                None => {
                    if !std::mem::replace(&mut self.has_reported_start, true) {
                        let url = shown(&self.endpoints.publish(&id)?);
                        self.ready
                            .push_back(Event::Notice(Notice::UncertainStart { url }));
                    }
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
        let Ok(response) = self
            .client
            .request(Method::GET, &url, headers, None, Some(CLOCK_TIMEOUT))
            .await
        else {
            return Ok(None);
        };
        let is_page = http::header(&response, "Content-Type").is_some_and(page::is_html);
        match response.status() {
            // nchan has no such channel yet; with a page as body, the location does not exist.
            StatusCode::NOT_FOUND if !is_page => Ok(Some(0)),
            StatusCode::OK => {
                let body = http::body(response, &url, Some(CLOCK_TIMEOUT))
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

    /// Accepts the messages of a complete response.
    pub(super) fn accept_poll_messages(&mut self, mut messages: Vec<Message>) {
        match messages.last() {
            Some(last) if self.is_unframed() => {
                if !self.cursor.begin_batch(last) {
                    // Only the last message has the position.
                    messages.drain(..messages.len() - 1);
                }
                self.accept(messages);
                self.cursor.end_batch();
            }
            _ => self.accept(messages),
        }
    }

    /// Handles the statuses of NHPM and nchan. Returns true if there is no body to read.
    pub(super) fn handle_unframed_status(&mut self, response: &Response) -> bool {
        let status = response.status();
        if !self.is_unframed() && self.dialect.is_some() {
            return false;
        }
        if status == StatusCode::FORBIDDEN
            && self.mode() == Mode::Stream
            && self.dialect == Some(Dialect::Nchan)
            && !self.is_chunked
        {
            // The location may support chunked streams only.
            self.is_chunked = true;
            return true;
        }
        let is_poll = matches!(self.mode(), Mode::Lp | Mode::Poll);
        if is_poll && status == StatusCode::REQUEST_TIMEOUT {
            self.has_delivered = self.has_waited();
            self.record_clock(response);
            (self.has_responded, self.mode_works) = (true, true);
            self.connection = Some(Connection::PollResponse);
            return true;
        }
        if is_poll && status == StatusCode::GONE && self.is_unframed() {
            (self.has_responded, self.mode_works) = (true, true);
            self.connection = Some(Connection::PollResponse);
            // A server that stops or reloads sends the same status and closes the connection.
            if http::header(response, "Connection")
                .is_none_or(|value| !value.eq_ignore_ascii_case("close"))
            {
                for channel in self.ids() {
                    self.dispatch(Message {
                        id: Some(DELETED_ID),
                        channel: Some(channel),
                        ..Message::default()
                    });
                }
            }
            return true;
        }
        false
    }
}
