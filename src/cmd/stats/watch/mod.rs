//! `stats --watch` on a terminal: a full-screen view that asks the server again and again.
//!
//! `history` keeps curves and rates, `state` what the user chose, `view` draws both; this file has
//! the loop and the terminal.

mod history;
mod state;
mod view;

use std::time::Duration;

use anyhow::Context as _;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use self::history::Sample;
use self::state::{Action, State};
use self::view::Theme;
use super::select::Selection;
use super::{DEFAULT_TIMEOUT, Source};
use crate::client::Error;
use crate::client::statistics::Report;
use crate::cmd::exit::Code;

/// How often the age of a loss is drawn again.
const REDRAW: Duration = Duration::from_secs(1);
/// Shortest time that an answer gets, however short the interval is.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the command line says.
pub(super) struct Settings {
    pub(super) interval: Duration,
    pub(super) selection: Selection,
    pub(super) timeout: Option<Duration>,
}

/// Shows the view until the user ends it.
///
/// # Errors
/// When the first answer does not come, or there is no terminal to draw on.
pub(super) async fn run(source: Source, settings: Settings) -> anyhow::Result<Code> {
    // A wrong address is told as everywhere, not in a view that shows nothing.
    let first = sample(&source, DEFAULT_TIMEOUT).await?;
    let end = settings.timeout.map(|limit| Instant::now() + limit);
    let mut state = State::new(
        source.endpoints.base(),
        settings.interval,
        settings.selection,
    );
    state.answered(Ok(first));
    let mut screen = Screen::open()?;
    let mut keys = keyboard()?;
    let (asker, mut answers) = asking(source, settings.interval);
    let theme = Theme::of_terminal();
    loop {
        screen.draw(&mut state, theme)?;
        let action = tokio::select! {
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => state.key(key),
                Some(_) => Action::Redraw,
                // The terminal is gone.
                None => Action::Interrupt,
            },
            Some(answer) = answers.recv() => {
                state.answered(answer);
                Action::Redraw
            }
            () = sleep_until(Instant::now() + REDRAW), if state.lost.is_some() => Action::Redraw,
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => Action::Quit,
        };
        match action {
            Action::Redraw => {}
            // It is under way already if there is no room.
            Action::Refresh => drop(asker.try_send(())),
            Action::Quit => return Ok(Code::Success),
            Action::Interrupt => return Ok(Code::Interrupted),
            Action::Suspend => screen.suspend()?,
        }
    }
}

/// Asks the server in each interval, and whenever it is told to; errors are texts for the user.
fn asking(
    source: Source,
    interval: Duration,
) -> (mpsc::Sender<()>, mpsc::Receiver<Result<Sample, String>>) {
    let (now, mut asked) = mpsc::channel(1);
    let (answers, received) = mpsc::channel(1);
    tokio::spawn(async move {
        let patience = interval.clamp(PATIENCE, DEFAULT_TIMEOUT);
        loop {
            // The channel closes when the view ends.
            if let Ok(None) = timeout(interval, asked.recv()).await {
                return;
            }
            let answer = sample(&source, patience)
                .await
                .map_err(|error| error.to_string());
            if answers.send(answer).await.is_err() {
                return;
            }
        }
    });
    (now, received)
}

/// The server's counters and its channels. A server may show one of them only.
async fn sample(source: &Source, limit: Duration) -> Result<Sample, Error> {
    let whole = Source {
        channel: None,
        ..source.clone()
    };
    let summary = match whole.report(limit).await {
        Ok(Report::Summary(summary)) => Ok(Some(summary)),
        Ok(Report::Channels(_)) => Ok(None),
        Err(error) => Err(error),
    };
    let listed = Source {
        channel: Some(source.channel.clone().unwrap_or_else(|| "ALL".to_owned())),
        ..source.clone()
    };
    let channels = match (listed.report(limit).await, &summary) {
        (Ok(Report::Channels(infos)), _) => Some(infos),
        // nchan answers with its counters whatever was asked.
        (Ok(Report::Summary(_)), _) => None,
        (Err(Error::Status { .. } | Error::Request(_)), Ok(Some(_)))
            if source.channel.is_none() =>
        {
            None
        }
        (Err(error), _) => return Err(error),
    };
    let summary = match summary {
        Ok(summary) => summary,
        Err(Error::Status { .. }) => None,
        Err(error) => return Err(error),
    };
    let lists_channels = channels.is_some();
    Ok(Sample {
        at: std::time::Instant::now(),
        summary,
        channels: channels.unwrap_or_default(),
        lists_channels,
    })
}

/// What is typed, read by a thread of its own: the terminal cannot be waited for beside the server.
fn keyboard() -> anyhow::Result<mpsc::Receiver<Event>> {
    let (events, received) = mpsc::channel(16);
    let read = move || {
        while let Ok(event) = event::read() {
            if events.blocking_send(event).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("keyboard".to_owned())
        .spawn(read)
        .context("cannot start a thread for the keyboard")?;
    Ok(received)
}

/// The terminal while it is ours. It is given back as it was however this ends: on return, when the
/// command is dropped because a signal came, and (by the hook that `ratatui` sets) before the
/// message of a panic.
struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    fn open() -> anyhow::Result<Self> {
        let terminal =
            ratatui::try_init().context("cannot draw on this terminal (use --json, or a pipe)")?;
        Ok(Self { terminal })
    }

    fn draw(&mut self, state: &mut State, theme: Theme) -> anyhow::Result<()> {
        self.terminal
            .draw(|frame| view::draw(frame, state, theme))
            .context("cannot draw on the terminal")?;
        Ok(())
    }

    /// Stops as a program in the foreground does on Ctrl-Z, and comes back with `fg`.
    fn suspend(&mut self) -> anyhow::Result<()> {
        ratatui::restore();
        kill_process(getpid(), Signal::TSTP).context("cannot suspend")?;
        // A new one draws everything again. (Clearing the old one would ask the terminal where its
        // cursor is, and the keyboard thread would eat the answer.)
        self.terminal = ratatui::try_init().context("cannot draw on this terminal")?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The cursor is hidden by drawing; the rest is undone by the library.
        let _ = self.terminal.show_cursor();
        ratatui::restore();
    }
}
