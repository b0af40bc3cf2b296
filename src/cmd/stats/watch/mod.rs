//! `stats --watch` on a terminal: a full-screen view that requests the counters at an interval.
//!
//! `history` keeps curves and rates, `state` the settings of the user, `view` draws both; this file
//! has the loop and the terminal.

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
use self::state::{Action, ViewState};
use self::view::Theme;
use super::counter_source::{CounterSource, DEFAULT_TIMEOUT};
use super::select::Selection;
use crate::client::Error;
use crate::client::statistics::Report;
use crate::cmd::exit::Code;

/// Redraw interval while the server is unreachable.
const REDRAW: Duration = Duration::from_secs(1);
/// Minimum time-out of a request, however short the interval is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Settings of the command line.
pub(super) struct WatchSettings {
    pub(super) interval: Duration,
    pub(super) selection: Selection,
    pub(super) timeout: Option<Duration>,
}

/// Shows the view until the user ends it.
///
/// # Errors
/// Returns an error if the first response does not arrive, or there is no terminal.
pub(super) async fn run(source: CounterSource, settings: WatchSettings) -> anyhow::Result<Code> {
    // An error of the first request is reported on standard error, not in an empty view.
    let first = sample(&source, DEFAULT_TIMEOUT).await?;
    let end = settings.timeout.map(|limit| Instant::now() + limit);
    let mut state = ViewState::new(
        source.endpoints.base(),
        settings.interval,
        settings.selection,
    );
    state.record_response(Ok(first));
    let mut screen = Screen::open()?;
    let mut keys = keyboard()?;
    let (sampler, mut samples) = start_sampling(source, settings.interval);
    let theme = Theme::of_terminal();
    loop {
        screen.draw(&mut state, theme)?;
        let action = tokio::select! {
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => state.key(key),
                Some(_) => Action::Redraw,
                // The terminal was closed.
                None => Action::Interrupt,
            },
            Some(sampled) = samples.recv() => {
                state.record_response(sampled);
                Action::Redraw
            }
            () = sleep_until(Instant::now() + REDRAW), if state.lost.is_some() => Action::Redraw,
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => Action::Quit,
        };
        match action {
            Action::Redraw => {}
            // If the queue is full, a request is pending already.
            Action::Refresh => drop(sampler.try_send(())),
            Action::Quit => return Ok(Code::Success),
            Action::Interrupt => return Ok(Code::Interrupted),
            Action::Suspend => screen.suspend()?,
        }
    }
}

/// Requests the counters at each interval and on demand; errors are texts for the user.
fn start_sampling(
    source: CounterSource,
    interval: Duration,
) -> (mpsc::Sender<()>, mpsc::Receiver<Result<Sample, String>>) {
    let (now, mut asked) = mpsc::channel(1);
    let (samples, received) = mpsc::channel(1);
    tokio::spawn(async move {
        let patience = interval.clamp(PATIENCE, DEFAULT_TIMEOUT);
        loop {
            // The channel closes when the view ends.
            if let Ok(None) = timeout(interval, asked.recv()).await {
                return;
            }
            let sampled = sample(&source, patience)
                .await
                .map_err(|error| error.to_string());
            if samples.send(sampled).await.is_err() {
                return;
            }
        }
    });
    (now, received)
}

/// Returns the server's counters and its channels. A server may have only one of them.
async fn sample(source: &CounterSource, limit: Duration) -> Result<Sample, Error> {
    let whole = CounterSource {
        channel: None,
        ..source.clone()
    };
    let summary = match whole.report(limit).await {
        Ok(Report::Summary(summary)) => Ok(Some(summary)),
        Ok(Report::Channels(_)) => Ok(None),
        Err(error) => Err(error),
    };
    let listed = CounterSource {
        channel: Some(source.channel.clone().unwrap_or_else(|| "ALL".to_owned())),
        ..source.clone()
    };
    let channels = match (listed.report(limit).await, &summary) {
        (Ok(Report::Channels(infos)), _) => Some(infos),
        // nchan returns its counters for any request.
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

/// Keys, read by a separate thread: the terminal cannot be polled together with the server.
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

/// The terminal in raw mode. It is restored on return, when the command is dropped because of a
/// signal, and (by the hook of `ratatui`) before the message of a panic.
struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    fn open() -> anyhow::Result<Self> {
        let terminal =
            ratatui::try_init().context("cannot draw on this terminal (use --json, or a pipe)")?;
        Ok(Self { terminal })
    }

    fn draw(&mut self, state: &mut ViewState, theme: Theme) -> anyhow::Result<()> {
        self.terminal
            .draw(|frame| view::draw(frame, state, theme))
            .context("cannot draw on the terminal")?;
        Ok(())
    }

    /// Stops like a foreground program on Ctrl-Z, and resumes with `fg`.
    fn suspend(&mut self) -> anyhow::Result<()> {
        ratatui::restore();
        kill_process(getpid(), Signal::TSTP).context("cannot suspend")?;
        // A new terminal redraws everything. (Clearing the old one would query the cursor position,
        // and the keyboard thread would consume the reply.)
        self.terminal = ratatui::try_init().context("cannot draw on this terminal")?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Drawing hides the cursor; the library restores the rest.
        let _ = self.terminal.show_cursor();
        ratatui::restore();
    }
}
