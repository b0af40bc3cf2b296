//! A subscription: connects, reads, reconnects with back-off, and hands every message on once.
//!
//! Every mode is the same loop here; how bytes become messages is the business of the modes' own
//! files.

mod asking;
pub mod detection;
mod ending;
mod event;
mod notice;
mod settings;
mod unframed;
mod waiting;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode, Url};

use super::cursor::{Cursor, Sent};
use super::marks::Step;
use super::message::{Gap, Kind};
use super::retry::Backoff;
use super::silence::Silence;
use super::{Dialect, Endpoints, Error, Http, Message, Mode, ev, http, lp, stream, ws};

pub use event::Event;
pub use notice::Notice;
pub use settings::{Channel, Settings, Start};
use waiting::{Pending, Progress};

/// A connection that was up for so long was a good one, even if nothing came.
const SETTLED: Duration = Duration::from_secs(5);
/// A long-polling answer without messages that took so long is the server's time-out; a quicker one
/// is none, and must not be asked for in a circle.
const WAITED: Duration = Duration::from_secs(1);

/// Time for the server's clock, without which a subscription may still work.
const CLOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections to nchan that broke so often in a row, each without a message, may be its fall over
/// a place in a channel that has no messages any more (nhpm-nchan.md, section 2.3): then the place
/// is left out, and what comes again is left out here.
const FALLS: u32 = 3;
/// A mode that worked and then failed so often in a row, without a message, gives way to the next
/// one.
const MODE_FAILURES: u32 = 3;

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
    /// A request that was not answered yet.
    pending: Option<Pending>,
    connection: Option<Connection>,
    ready: VecDeque<Event>,
    /// The mode in use: a place in the list.
    mode: usize,
    /// Modes that failed one after the other, and the error of the first.
    fallen: usize,
    first_error: Option<Error>,
    /// True once the mode in use has answered.
    mode_works: bool,
    /// Failures of the mode in use since it last brought something.
    mode_failures: u32,
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
    /// What the server speaks, as far as it is known.
    dialect: Option<Dialect>,
    /// It was asked what it speaks.
    has_probed: bool,
    /// It may be NHPM as well as nchan: their answers to polls are alike.
    is_guess: bool,
    /// Connections to nchan in a row that broke without a message.
    broken: u32,
    /// nchan's location has chunked streams and no multipart ones.
    is_chunked: bool,
    /// The usual paths of other servers were tried.
    has_detected: bool,
    /// What was heard of the connection.
    silence: Silence,
    /// Something came in the mode in use, beyond the head of a response.
    has_heard_in_mode: bool,
    /// The first mode that was answered and stayed silent: the one to stay with if no other works.
    silent_mode: Option<usize>,
    /// All others have failed since.
    has_returned: bool,
    /// The clock was asked for.
    has_asked_for_clock: bool,
    /// The start was looked at while nothing had come yet.
    has_waited_for_backlogs: bool,
    /// The user knows that no answer comes.
    has_told_of_waiting: bool,
    /// The user knows that the start may have no effect.
    has_told_of_start: bool,
}

impl Subscription {
    /// A subscription that connects when it is first asked for an event.
    #[must_use]
    pub fn new(client: Http, endpoints: Endpoints, settings: Settings) -> Self {
        let mut cursor = settings.cursor();
        let silence = Silence::new(settings.silence, Instant::now());
        if settings.dialect.is_some_and(Dialect::is_bare) {
            cursor.becomes_bare();
        }
        Self {
            client,
            endpoints,
            cursor,
            dialect: settings.dialect,
            has_probed: false,
            is_guess: false,
            broken: 0,
            is_chunked: false,
            settings,
            backoff: Backoff::default(),
            pending: None,
            connection: None,
            ready: VecDeque::new(),
            has_detected: false,
            silence,
            has_heard_in_mode: false,
            silent_mode: None,
            has_returned: false,
            has_asked_for_clock: false,
            has_waited_for_backlogs: false,
            has_told_of_waiting: false,
            has_told_of_start: false,
            mode: 0,
            fallen: 0,
            first_error: None,
            mode_works: false,
            mode_failures: 0,
            pause: None,
            asked: false,
            answered: false,
            clock: None,
            up_since: None,
            fruitful: false,
            asked_at: Instant::now(),
        }
    }

    /// The next event; `None` when the last channel was deleted. Not to be dropped half-way and
    /// called again.
    ///
    /// # Errors
    /// The error that ended the subscription: a final one, or one too many.
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
                return self.failed(error).map(Some);
            }
        }
    }

    /// True if the next event is there already.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the next step: asks for a connection, waits for its answer, or reads from it.
    async fn advance(&mut self) -> Result<(), Error> {
        if self.connection.is_none() && self.pending.is_none() {
            if let Some(pause) = self.pause.take() {
                tokio::time::sleep(pause).await;
            }
            return self.connect().await;
        }
        match self.wait().await? {
            Progress::Answered(pending, response) => self.answered(pending, *response).await,
            Progress::Read(Some(messages)) => {
                self.hear(&messages);
                self.accept(messages);
                Ok(())
            }
            Progress::Read(None) => self.ended(),
            Progress::Waiting => Ok(()),
        }
    }

    fn mode(&self) -> Mode {
        self.settings.modes[self.mode]
    }

    fn succeeded(&mut self) {
        self.backoff.succeeded();
        self.mode_failures = 0;
    }

    fn accept(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.sort(message);
        }
        self.tell_start();
    }

    fn tell_start(&mut self) {
        self.ready.extend(self.cursor.start().map(Event::Moved));
    }

    /// Sorts a received message; pings, time-outs and repetitions are nobody's business.
    fn sort(&mut self, message: Message) {
        let only = if self.settings.channels.len() == 1 {
            self.settings.channels.first()
        } else {
            None
        };
        let channel = message
            .channel
            .clone()
            .or_else(|| only.map(|channel| channel.id.clone()));
        match message.kind() {
            Kind::Ping => {}
            Kind::Timeout => self.fruitful |= self.has_waited(),
            Kind::Gap(gap) => {
                let step = channel
                    .as_deref()
                    .map(|channel| self.cursor.skip(channel, message.position(), gap));
                if step != Some(None) {
                    self.ready.push_back(Event::Missed(
                        Message { channel, ..message },
                        gap,
                        step.flatten(),
                    ));
                }
            }
            Kind::Deleted => {
                let Some(channel) = channel else { return };
                self.cursor.forget(&channel);
                let before = self.settings.channels.len();
                self.settings.channels.retain(|other| other.id != channel);
                self.fruitful = true;
                if self.settings.channels.len() < before {
                    self.ready.push_back(Event::Deleted(
                        channel.clone(),
                        message.text,
                        Step::Forget(channel),
                    ));
                }
            }
            Kind::Data => {
                let now = self.clock.map(|(date, at)| date + at.elapsed().as_secs());
                // What is left out moves us on as well.
                self.fruitful |= self.is_bare();
                self.broken = 0;
                let Some(taken) = self.cursor.take(&message, channel.as_deref(), now) else {
                    return;
                };
                self.fruitful = true;
                self.succeeded();
                if let Some(missing) = taken.missing {
                    self.ready.push_back(Event::Missed(
                        missed(channel),
                        missing.gap,
                        Some(missing.step),
                    ));
                }
                self.ready.push_back(Event::Message(message, taken.step));
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        // These modes may show no header before the first message, if ever: so ask for the server's
        // clock beforehand.
        let mode = self.mode();
        let is_silent =
            matches!(mode, Mode::Ws | Mode::Stream | Mode::Lp) && self.cursor.is_unknown();
        if (is_silent || self.settings.keeps_start)
            && self.clock.is_none()
            && !self.has_asked_for_clock
        {
            self.ask_for_clock().await?;
        }
        self.tell_start();
        if !self.ready.is_empty() {
            // Whoever keeps the start gets it before a wait that may be long.
            return Ok(());
        }
        let ids = self.ids();
        self.probe().await?;
        let sent = match mode {
            _ if self.is_bare() && self.broken >= FALLS => Sent::default(),
            _ if self.is_bare() => self.place_for_bare().await?,
            _ if !self.asked && !self.cursor.is_set() => Sent::default(),
            Mode::Lp | Mode::Poll => self.cursor.for_request(&ids),
            Mode::Ev | Mode::Ws | Mode::Stream => self.cursor.for_stream(&ids),
        };
        let url = self.url(&sent)?;
        let mut headers = self.headers(&sent)?;
        let key = (mode == Mode::Ws).then(|| ws::ask(&mut headers));
        let is_common = self.cursor.is_common();
        self.cursor
            .connected(is_common && matches!(mode, Mode::Lp | Mode::Poll) && sent.tag.is_some());
        self.asked = true;
        self.asked_at = Instant::now();
        self.fruitful = false;
        self.silence.connecting(self.asked_at);
        let response = self.request(&url, headers);
        self.pending = Some(Pending {
            response,
            url,
            key,
            is_common,
        });
        Ok(())
    }

    async fn answered(&mut self, pending: Pending, response: Response) -> Result<(), Error> {
        let Pending {
            url,
            key,
            is_common,
            ..
        } = pending;
        self.silence.answered(Instant::now());
        self.learn(Dialect::of_answer(response.status(), response.headers()));
        if self.is_settled_by(&response) {
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
                Err(error.at("--sub-path"))
            };
        }
        self.note_clock(&response);
        self.connection = Some(self.open(response, url, key, is_common).await?);
        // A stream that brings nothing at all may be held back by a proxy.
        let may_be_held_back =
            matches!(self.mode(), Mode::Ev | Mode::Stream) && self.settings.modes.len() > 1;
        self.has_heard_in_mode |= !may_be_held_back;
        // A mode that works may be followed by the silent one again, for a while.
        self.has_returned &= may_be_held_back;
        (self.answered, self.mode_works) = (true, true);
        if self.has_heard_in_mode {
            (self.fallen, self.first_error) = (0, None);
        }
        self.tell_start();
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
                ws::Connection::new(response, url, &key, self.ids(), limit).await?,
            )),
            (Mode::Ev, _) => Connection::Ev(ev::Connection::new(
                response,
                url,
                self.ids(),
                self.is_bare(),
                limit,
            )?),
            (Mode::Stream | Mode::Ws, _) => Connection::Stream(stream::Connection::new(
                response,
                url,
                self.ids(),
                self.is_bare(),
                limit,
            )?),
            (Mode::Lp | Mode::Poll, _) => {
                // A 304 after a wait is the server's time-out and as good as a message: ask again
                // at once.
                self.fruitful = response.status() == StatusCode::NOT_MODIFIED && self.has_waited();
                if self.fruitful {
                    self.succeeded();
                }
                let bare = self.is_bare().then(|| self.ids());
                self.take_answer(
                    lp::PollResponse::read(response, &url, bare.as_deref(), limit).await?,
                    is_common,
                );
                return Ok(Connection::Answer);
            }
        };
        self.cursor.outrun();
        Ok(connection)
    }

    /// Takes the messages of an answer, and where it leaves the channels.
    fn take_answer(&mut self, answer: lp::PollResponse, is_common: bool) {
        let ids = self.ids();
        // Where channels stood apart it tells of messages that we had; then their ids tell the
        // truth. A restart is true of all. Objects in the body say more than the header, and the
        // same.
        let has_notices = answer
            .messages
            .iter()
            .any(|message| matches!(message.kind(), Kind::Gap(_)));
        let is_ours = |gap: &Gap| !has_notices && (is_common || ids.len() == 1 || gap.is_unknown());
        if let Some(gap) = answer
            .gap
            .filter(is_ours)
            .filter(|gap| self.cursor.skip_somewhere(&ids, *gap))
        {
            let only = if let [only] = ids.as_slice() {
                Some(only.clone())
            } else {
                None
            };
            self.ready.push_back(Event::Missed(missed(only), gap, None));
        }
        self.accept_answer(answer.messages);
        if answer.is_cut {
            self.cursor.cut();
        } else {
            let step = self
                .cursor
                .answered(answer.last_modified.as_deref(), answer.etag.as_deref());
            self.ready.extend(step.map(Event::Moved));
        }
    }

    fn has_waited(&self) -> bool {
        self.asked_at.elapsed() >= WAITED
    }
}

/// A gap that the server did not put into words of its own.
fn missed(channel: Option<String>) -> Message {
    Message {
        channel,
        ..Message::default()
    }
}
