//! A subscription: connects, reads, reconnects with back-off, and hands every message on once.
//!
//! Every mode is the same loop here; how bytes become messages is the business of the modes' own files.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};

use super::cursor::{Cursor, Sent};
use super::endpoint::split_backtrack;
use super::message::Kind;
use super::retry::{Backoff, random};
use super::{Endpoints, Error, Http, Message, Mode, ev, http, lp, stream, ws};
use crate::protocol::LAST_EVENT_ID;

/// A connection that was up for so long was a good one, even if nothing came.
const SETTLED: Duration = Duration::from_secs(5);
/// A long-polling answer without messages that took so long is the server's time-out; a quicker one is none, and must not be
/// asked for in a circle.
const WAITED: Duration = Duration::from_secs(1);

/// What to follow and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How messages are delivered.
    pub mode: Mode,
    /// Channel ids, in the user's order, each once.
    pub channels: Vec<Channel>,
    /// Start with the messages of this unix second; `None` = with new ones.
    pub since: Option<u64>,
    /// Attempts in a row that may fail; `None` = none before the first connection is up, any number after it.
    pub retries: Option<u32>,
    /// Time between two requests of polling.
    pub interval: Duration,
}

/// One channel to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Channel id.
    pub id: String,
    /// Stored messages to start with.
    pub backlog: Option<u64>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new message.
    Message(Message),
    /// A channel was deleted; the others continue.
    Deleted(String),
    /// The connection failed and is tried again after the delay.
    Retrying(Error, Duration),
}

enum Connection {
    Stream(stream::Connection),
    Ev(ev::Connection),
    Ws(Box<ws::Connection>),
    /// A long-polling or polling answer: nothing more comes from it.
    Answer,
}

/// A running subscription.
pub struct Subscription {
    client: Http,
    endpoints: Endpoints,
    settings: Settings,
    cursor: Cursor,
    backoff: Backoff,
    connection: Option<Connection>,
    received: VecDeque<Message>,
    /// Time to wait before the next attempt.
    pause: Option<Duration>,
    /// True once a subscription was asked for: from then on nothing may be missed.
    asked: bool,
    /// True once the server has answered.
    answered: bool,
    /// The server's clock when it first answered, and ours.
    clock: Option<(u64, Instant)>,
    /// When the current connection came up.
    up_since: Option<Instant>,
    /// True if something new came from the current connection.
    fruitful: bool,
    /// When the last subscription was asked for.
    asked_at: Instant,
}

impl Subscription {
    /// A subscription that connects when it is first asked for an event.
    #[must_use]
    pub fn new(client: Http, endpoints: Endpoints, settings: Settings) -> Self {
        Self {
            client,
            endpoints,
            cursor: start(&settings),
            settings,
            backoff: Backoff::default(),
            connection: None,
            received: VecDeque::new(),
            pause: None,
            asked: false,
            answered: false,
            clock: None,
            up_since: None,
            fruitful: false,
            asked_at: Instant::now(),
        }
    }

    /// The next event; `None` when the last channel was deleted. Not to be dropped half-way and called again.
    ///
    /// # Errors
    /// The error that ended the subscription: a final one, or one too many.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            while let Some(message) = self.received.pop_front() {
                if let Some(event) = self.accept(message) {
                    return Ok(Some(event));
                }
            }
            if self.settings.channels.is_empty() {
                return Ok(None);
            }
            if let Err(error) = self.advance().await {
                self.connection = None;
                return self.failed(error).map(Some);
            }
        }
    }

    /// Reads from the connection, or makes one.
    async fn advance(&mut self) -> Result<(), Error> {
        let read = match &mut self.connection {
            None => {
                if let Some(pause) = self.pause.take() {
                    tokio::time::sleep(pause).await;
                }
                return self.connect().await;
            }
            Some(Connection::Stream(connection)) => connection.next().await?,
            Some(Connection::Ev(connection)) => connection.next().await?,
            Some(Connection::Ws(connection)) => connection.next().await?,
            Some(Connection::Answer) => None,
        };
        match read {
            Some(messages) => self.received.extend(messages),
            None => self.ended(),
        }
        Ok(())
    }

    /// The connection came to its regular end.
    fn ended(&mut self) {
        self.fruitful |= self.settled();
        let endless = !matches!(self.connection.take(), Some(Connection::Answer));
        if !endless {
            self.cursor.backlogs_came();
        }
        self.pause = match self.settings.mode {
            Mode::Poll => Some(self.settings.interval),
            // A server that only ever hangs up, or answers the same again, must not be asked in a circle.
            _ if !self.fruitful => Some(self.backoff.failed(random())),
            _ if endless => Some(Backoff::default().failed(random())),
            _ => None,
        };
    }

    /// Notes the end of a connection; true if it had been good.
    fn settled(&mut self) -> bool {
        let settled = self.up_since.take().is_some_and(|since| since.elapsed() >= SETTLED);
        if settled {
            self.cursor.backlogs_came();
            self.backoff.succeeded();
        }
        settled
    }

    fn failed(&mut self, error: Error) -> Result<Event, Error> {
        self.settled();
        let delay = self.backoff.failed(random());
        let allowed = self.settings.retries.unwrap_or(if self.answered { u32::MAX } else { 0 });
        if error.is_final() || self.backoff.failures() > allowed {
            return Err(error);
        }
        self.pause = Some(delay);
        Ok(Event::Retrying(error, delay))
    }

    /// Sorts a received message; pings, time-outs and repetitions are nobody's business.
    fn accept(&mut self, message: Message) -> Option<Event> {
        let only = if self.settings.channels.len() == 1 { self.settings.channels.first() } else { None };
        let channel = message.channel.clone().or_else(|| only.map(|channel| channel.id.clone()));
        match message.kind() {
            Kind::Ping => None,
            Kind::Timeout => {
                self.fruitful |= self.has_waited();
                None
            }
            Kind::Deleted => {
                let channel = channel?;
                self.cursor.forget(&channel);
                let before = self.settings.channels.len();
                self.settings.channels.retain(|other| other.id != channel);
                self.fruitful = true;
                (self.settings.channels.len() < before).then_some(Event::Deleted(channel))
            }
            Kind::Data => {
                let now = self.clock.map(|(date, at)| date + at.elapsed().as_secs());
                let is_new = self.cursor.take(&message, channel.as_deref(), now);
                if is_new {
                    self.fruitful = true;
                    self.backoff.succeeded();
                }
                is_new.then_some(Event::Message(message))
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        // These modes may show no header before the first message, if ever: so ask for the server's clock beforehand.
        let silent = matches!(self.settings.mode, Mode::Ws | Mode::Stream | Mode::Lp);
        if silent && self.clock.is_none() && self.cursor.is_unknown() && self.settings.since.is_none() {
            self.ask_for_clock().await?;
        }
        let ids: Vec<String> = self.settings.channels.iter().map(|channel| channel.id.clone()).collect();
        let sent = match self.settings.mode {
            _ if !self.asked && self.settings.since.is_none() => Sent::default(),
            Mode::Lp | Mode::Poll => self.cursor.for_request(&ids),
            Mode::Ev | Mode::Ws | Mode::Stream => self.cursor.for_stream(&ids),
        };
        let url = self.url(&sent)?;
        let mut headers = self.headers(&sent)?;
        let key = (self.settings.mode == Mode::Ws).then(|| ws::ask(&mut headers));
        self.asked = true;
        self.asked_at = Instant::now();
        self.fruitful = false;
        let response = self.client.request(Method::GET, &url, headers, None, None).await?;
        if !matches!(response.status(), StatusCode::OK | StatusCode::NOT_MODIFIED | StatusCode::SWITCHING_PROTOCOLS) {
            return Err(http::status_error(&response, &url));
        }
        self.note_clock(&response);
        self.connection = Some(self.open(response, url, key).await?);
        self.answered = true;
        self.up_since = Some(Instant::now());
        Ok(())
    }

    async fn open(&mut self, response: Response, url: Url, key: Option<String>) -> Result<Connection, Error> {
        Ok(match (self.settings.mode, key) {
            (Mode::Ws, Some(key)) => Connection::Ws(Box::new(ws::Connection::new(response, url, &key).await?)),
            (Mode::Ev, _) => Connection::Ev(ev::Connection::new(response, url)?),
            (Mode::Stream | Mode::Ws, _) => Connection::Stream(stream::Connection::new(response, url)),
            (Mode::Lp | Mode::Poll, _) => {
                // A 304 after a wait is the server's time-out and as good as a message: ask again at once.
                self.fruitful = response.status() == StatusCode::NOT_MODIFIED && self.has_waited();
                if self.fruitful {
                    self.backoff.succeeded();
                }
                let answer = lp::Answer::read(response, &url).await?;
                self.received.extend(answer.messages);
                if answer.is_cut {
                    self.cursor.cut();
                } else {
                    self.cursor.answered(answer.last_modified.as_deref(), answer.etag.as_deref());
                }
                Connection::Answer
            }
        })
    }

    fn has_waited(&self) -> bool {
        self.asked_at.elapsed() >= WAITED
    }

    async fn ask_for_clock(&mut self) -> Result<(), Error> {
        let url = self.endpoints.statistics(None)?;
        match self.client.request(Method::HEAD, &url, HeaderMap::new(), None, None).await {
            Ok(response) => self.note_clock(&response),
            Err(error @ Error::Unreachable { .. }) => return Err(error),
            // A server that will not tell may still be followed.
            Err(_) => {}
        }
        Ok(())
    }

    fn note_clock(&mut self, response: &Response) {
        if let (Some(date), None) = (http::date(response), self.clock) {
            self.clock = Some((date, Instant::now()));
            self.cursor.answered_at(date);
        }
    }

    /// The channels, with their backtracks as long as those are wanted.
    fn url(&self, sent: &Sent) -> Result<Url, Error> {
        let path: Vec<String> = self
            .settings
            .channels
            .iter()
            .map(|channel| match self.cursor.backlog(&channel.id) {
                Some(backlog) => format!("{}.b{backlog}", channel.id),
                // What looks like a backtrack is part of the name here.
                None if split_backtrack(&channel.id).1.is_some() => format!("{}.b0", channel.id),
                None => channel.id.clone(),
            })
            .collect();
        let mut url = self.endpoints.subscribe(self.settings.mode, &path.join("/"))?;
        let arguments = [("time", sent.time.as_deref()), ("tag", sent.tag.as_deref().map(bare_tag)), ("eventid", sent.event_id.as_deref())];
        for (name, value) in arguments {
            if let Some(value) = value {
                // Spaces as %20: servers do not read '+' as one here (protocol reference, section 7.1).
                let value = value.replace('%', "%25").replace('&', "%26").replace('#', "%23").replace('+', "%2B").replace(' ', "%20");
                let query = url.query().map(|query| format!("{query}&")).unwrap_or_default();
                url.set_query(Some(&format!("{query}{name}={value}")));
            }
        }
        Ok(url)
    }

    fn headers(&self, sent: &Sent) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        if self.settings.mode == Mode::Ev {
            headers.insert("Accept", HeaderValue::from_static("text/event-stream"));
            headers.insert("Cache-Control", HeaderValue::from_static("no-cache"));
        }
        if let Some(time) = &sent.time {
            headers.insert("If-Modified-Since", http::header_value("the last message's time", time)?);
        }
        if let Some(tag) = &sent.tag {
            headers.insert("If-None-Match", http::header_value("the last message's tag", tag)?);
        }
        if let Some(event_id) = &sent.event_id {
            let name = reqwest::header::HeaderName::from_static("last-event-id");
            debug_assert!(LAST_EVENT_ID.eq_ignore_ascii_case(name.as_str()));
            // An event id that no header can carry still goes as an argument.
            if let Ok(value) = HeaderValue::from_str(event_id) {
                headers.insert(name, value);
            }
        }
        Ok(headers)
    }
}

/// The cursor of a new subscription.
fn start(settings: &Settings) -> Cursor {
    let backlogs =
        settings.channels.iter().filter_map(|channel| Some((channel.id.clone(), channel.backlog.filter(|backlog| *backlog > 0)?)));
    settings.since.map(Cursor::since).unwrap_or_default().with_backlogs(backlogs)
}

fn bare_tag(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}
