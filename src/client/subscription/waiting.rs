//! How a subscription waits: for the answer to a request, for bytes of a connection, and not for
//! ever for either.

use std::pin::Pin;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Method, Response, Url};

use super::{Connection, Event, Notice, Subscription, WAITED};
use crate::client::error::shown;
use crate::client::message::Kind;
use crate::client::silence::FIRST_BYTES;
use crate::client::{Dialect, Error, Message, Mode};

type ConnectOutcome = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>;

/// A request that is under way.
pub(super) struct Pending {
    pub(super) response: ConnectOutcome,
    pub(super) url: Url,
    /// What a websocket has to answer.
    pub(super) key: Option<String>,
    /// It said where all channels stand.
    pub(super) is_common: bool,
}

/// What a wait came to.
pub(super) enum Progress {
    /// The request was answered.
    Answered(Pending, Box<Response>),
    /// The connection brought messages, or its end.
    Read(Option<Vec<Message>>),
    /// It is to be continued.
    Waiting,
}

/// What is due if nothing comes.
#[derive(Clone, Copy)]
enum Timer {
    /// The server had time to give a backlog.
    Backlogs,
    /// Reports to the user that no response arrives.
    Notice,
    /// The connection counts as broken.
    Silence,
}

impl Subscription {
    pub(super) fn request(&self, url: &Url, headers: HeaderMap) -> ConnectOutcome {
        let client = self.client.clone();
        let url = url.clone();
        Box::pin(async move { client.request(Method::GET, &url, headers, None, None).await })
    }

    /// Waits until something comes or is due.
    pub(super) async fn wait(&mut self) -> Result<Progress, Error> {
        let Some((due, timer)) = self.next_timer() else {
            return self.progress().await;
        };
        match tokio::time::timeout_at(due.into(), self.progress()).await {
            Ok(progress) => progress,
            Err(_) => self.elapsed(timer),
        }
    }

    async fn progress(&mut self) -> Result<Progress, Error> {
        if let Some(pending) = &mut self.pending {
            let response = (&mut pending.response).await;
            let pending = self.pending.take().expect("it was there");
            return Ok(Progress::Answered(pending, Box::new(response?)));
        }
        let read = match &mut self.connection {
            Some(Connection::Stream(connection)) => connection.next().await?,
            Some(Connection::Ev(connection)) => {
                let read = connection.next().await?;
                if connection.is_bare() {
                    self.learn(Some(Dialect::Nchan));
                }
                read
            }
            Some(Connection::Ws(connection)) => connection.next().await?,
            Some(Connection::Answer) | None => None,
        };
        Ok(Progress::Read(read))
    }

    /// Notes what a connection brought.
    pub(super) fn hear(&mut self, messages: &[Message]) {
        let now = Instant::now();
        // In these modes nothing comes in pieces, so what is no message is a ping, or a greeting.
        let is_ping = match messages {
            [] => matches!(self.mode(), Mode::Ev | Mode::Ws),
            _ => messages.iter().all(|message| message.kind() == Kind::Ping),
        };
        if is_ping {
            self.silence.pinged(now);
        } else {
            self.silence.heard(now);
        }
        (self.has_heard_in_mode, self.has_returned) = (true, false);
        (self.fallen, self.first_error) = (0, None);
    }

    /// The first of the timers that run.
    fn next_timer(&self) -> Option<(Instant, Timer)> {
        let waits_for_backlogs = !self.has_waited_for_backlogs && self.settings.keeps_start;
        let backlogs = waits_for_backlogs.then(|| (self.asked_at + WAITED, Timer::Backlogs));
        let is_endless = matches!(self.mode(), Mode::Ev | Mode::Ws | Mode::Stream);
        let waits_for_head = is_endless && self.pending.is_some() && !self.has_told_of_waiting;
        let notice = waits_for_head.then(|| (self.asked_at + FIRST_BYTES, Timer::Notice));
        let silence = self
            .silence
            .deadline(self.has_alternative())
            .filter(|_| is_endless)
            .map(|due| (due, Timer::Silence));
        // Where a silence ends the wait, it is reported to the user.
        let notice = notice.filter(|(due, _)| silence.is_none_or(|(silence, _)| *due < silence));
        [backlogs, notice, silence]
            .into_iter()
            .flatten()
            .min_by_key(|(due, _)| *due)
    }

    /// True if a mode that brings nothing may give way to another one.
    fn has_alternative(&self) -> bool {
        self.settings.modes.len() > 1 && !self.is_last_resort() && !self.has_heard_in_mode
    }

    /// True in a mode that brings nothing, after all others have failed.
    pub(super) fn is_last_resort(&self) -> bool {
        self.has_returned && self.silent_mode == Some(self.mode)
    }

    fn elapsed(&mut self, timer: Timer) -> Result<Progress, Error> {
        match timer {
            Timer::Backlogs => {
                self.has_waited_for_backlogs = true;
                self.ready
                    .extend(self.cursor.start_without_backlogs().map(Event::Moved));
            }
            Timer::Notice => {
                self.has_told_of_waiting = true;
                if let Some(pending) = &self.pending {
                    let notice = Notice::NoAnswer {
                        url: shown(&pending.url),
                        after: FIRST_BYTES,
                    };
                    self.ready.push_back(Event::Noticed(notice));
                }
            }
            Timer::Silence if self.has_moved() => self.silence.heard(Instant::now()),
            Timer::Silence => return Err(self.silent()?),
        }
        Ok(Progress::Waiting)
    }

    /// True if bytes of a message that is not complete have come since this was last asked.
    fn has_moved(&mut self) -> bool {
        match &mut self.connection {
            Some(Connection::Ev(connection)) => connection.take_activity(),
            Some(Connection::Ws(connection)) => connection.take_activity(),
            _ => false,
        }
    }

    /// The error of a connection that brings nothing.
    fn silent(&mut self) -> Result<Error, Error> {
        let url = shown(&self.url(&crate::client::cursor::Sent::default())?);
        let after = self
            .silence
            .allowed(self.has_alternative())
            .unwrap_or(Duration::ZERO);
        // A learnt time is not exact.
        let after = if after > Duration::from_secs(1) {
            Duration::from_secs(after.as_secs())
        } else {
            after
        };
        if self.silence.is_complete() {
            // It was up for long, but no good one.
            self.up_since = None;
        }
        Ok(Error::Silent { url, after })
    }

    /// Goes back to a mode that was answered and brought nothing, if all others have failed; once
    /// until something comes.
    pub(super) fn returns_to_silent_mode(&mut self) -> bool {
        let Some(mode) = self.silent_mode.filter(|_| !self.has_returned) else {
            return false;
        };
        self.mode = mode;
        self.has_returned = true;
        (self.fallen, self.first_error) = (0, None);
        true
    }
}
