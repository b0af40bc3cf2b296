//! What a subscription does differently with NHPM and nchan: it finds out that it speaks with one,
//! and reads their statuses.

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};

use super::{CLOCK_TIMEOUT, Connection, Event, Notice, Subscription};
use crate::client::cursor::Sent;
use crate::client::error::shown;
use crate::client::{Dialect, Error, Message, Mode, http, page, unframed_info};
use crate::protocol::DELETED_ID;

impl Subscription {
    /// The channels that are followed, in the order of the request.
    pub(super) fn ids(&self) -> Vec<String> {
        self.settings
            .channels
            .iter()
            .map(|channel| channel.id.clone())
            .collect()
    }

    pub(super) fn is_bare(&self) -> bool {
        self.dialect.is_some_and(Dialect::is_bare)
    }

    /// Notes what an answer shows; what is known stays.
    pub(super) fn learn(&mut self, shown: Option<Dialect>) {
        if let (None, Some(dialect)) = (self.dialect, shown) {
            self.dialect = Some(dialect);
            self.is_guess =
                dialect == Dialect::Nchan && matches!(self.mode(), Mode::Lp | Mode::Poll);
            if dialect.is_bare() {
                self.cursor.becomes_bare();
            }
        }
    }

    /// Asks what the server speaks, if the first request depends on it: places and backlogs are
    /// written differently.
    ///
    /// # Errors
    /// When the server cannot be reached, or cannot do what is wanted.
    pub(super) async fn probe(&mut self) -> Result<(), Error> {
        let has_backlog = self
            .settings
            .channels
            .iter()
            .any(|channel| channel.backlog.is_some());
        let depends = self.dialect.is_none() && (self.cursor.is_set() || has_backlog);
        if !self.has_probed && (depends || self.is_guess) {
            (self.has_probed, self.is_guess) = (true, false);
            let url = self
                .endpoints
                .subscribe(self.mode(), &self.ids().join("/"))?;
            let headers = self.headers(&Sent::default())?;
            match self
                .client
                .request(Method::OPTIONS, &url, headers, None, None)
                .await
            {
                Ok(response) => {
                    let shown = Dialect::of_options(response.status(), response.headers());
                    self.learn(shown);
                    // Known to be one of the two: now it is known which.
                    if self.is_bare()
                        && self.settings.dialect.is_none()
                        && shown == Some(Dialect::Nhpm)
                    {
                        self.dialect = shown;
                    }
                    self.is_guess = false;
                }
                Err(
                    error @ (Error::Unreachable { .. }
                    | Error::Behind { .. }
                    | Error::Untrusted { .. }),
                ) => return Err(error),
                // A server that will not tell may still be followed.
                Err(_) => {}
            }
        }
        if has_backlog && self.is_bare() {
            let reason = "the server speaks nhpm or nchan, which know no backlog by number";
            let mend = "use --since all or a time, or --dialect nchan for a channel whose name \
                        ends in '.b' and digits";
            return Err(Error::Request(format!("{reason} ({mend})")));
        }
        Ok(())
    }

    /// What to send as the place. A start by time is left out by default, because nchan 1.3 falls
    /// over a place in a channel that is there and has no messages; where the location begins with
    /// new messages (`nchan_subscriber_first_message newest`) it would have no effect. So it is
    /// sent if the channels are known to have messages.
    ///
    /// # Errors
    /// [`Error::Request`] if the channels make no URL of a publisher.
    pub(super) async fn place_for_bare(&mut self) -> Result<Sent, Error> {
        let sent = self.cursor.for_bare(self.dialect);
        let ids = self.ids();
        let start = self
            .cursor
            .unsent_start(ids.len())
            .filter(|_| self.dialect == Some(Dialect::Nchan) && sent == Sent::default());
        let Some(start) = start else { return Ok(sent) };
        for id in ids {
            match self.stored(&id).await? {
                Some(0) => return Ok(sent),
                Some(_) => {}
                None => {
                    if !std::mem::replace(&mut self.has_told_of_start, true) {
                        let url = shown(&self.endpoints.publish(&id)?);
                        self.ready
                            .push_back(Event::Noticed(Notice::UncertainStart { url }));
                    }
                    return Ok(sent);
                }
            }
        }
        Ok(start)
    }

    /// The stored messages of a channel as its publisher location counts them; `None` if it does
    /// not.
    async fn stored(&self, channel: &str) -> Result<Option<u64>, Error> {
        let Some(url) = self.endpoints.bare_statistics(Some(channel))? else {
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
            // nchan has no such channel yet; a page says that there is no such location.
            StatusCode::NOT_FOUND if !is_page => Ok(Some(0)),
            StatusCode::OK => {
                let body = http::body(response, &url, Some(CLOCK_TIMEOUT))
                    .await
                    .unwrap_or_default();
                let info = unframed_info::translated(&body, channel);
                let info: Option<serde_json::Value> =
                    info.and_then(|info| serde_json::from_slice(&info).ok());
                Ok(info.and_then(|info| info.get("stored_messages")?.as_u64()))
            }
            _ => Ok(None),
        }
    }

    /// Takes the messages of a whole answer.
    pub(super) fn accept_answer(&mut self, mut messages: Vec<Message>) {
        match messages.last() {
            Some(last) if self.is_bare() => {
                if !self.cursor.begins_batch(last) {
                    // The last one alone moves us on.
                    messages.drain(..messages.len() - 1);
                }
                self.accept(messages);
                self.cursor.ends_batch();
            }
            _ => self.accept(messages),
        }
    }

    /// Takes the answers that only these servers give; true if there is nothing to read.
    pub(super) fn is_settled_by(&mut self, response: &Response) -> bool {
        let status = response.status();
        if !self.is_bare() && self.dialect.is_some() {
            return false;
        }
        if status == StatusCode::FORBIDDEN
            && self.mode() == Mode::Stream
            && self.dialect == Some(Dialect::Nchan)
            && !self.is_chunked
        {
            // Its location may have chunked streams only.
            self.is_chunked = true;
            return true;
        }
        let is_poll = matches!(self.mode(), Mode::Lp | Mode::Poll);
        if is_poll && status == StatusCode::REQUEST_TIMEOUT {
            self.fruitful = self.has_waited();
            self.note_clock(response);
            (self.answered, self.mode_works) = (true, true);
            self.connection = Some(Connection::Answer);
            return true;
        }
        if is_poll && status == StatusCode::GONE && self.is_bare() {
            (self.answered, self.mode_works) = (true, true);
            self.connection = Some(Connection::Answer);
            // A server that ends or reloads says the same, and closes the connection.
            if http::header(response, "Connection")
                .is_none_or(|value| !value.eq_ignore_ascii_case("close"))
            {
                for channel in self.ids() {
                    self.sort(Message {
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
