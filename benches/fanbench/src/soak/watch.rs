//! The state of the server per second of the soak, and whether it grows.

use std::net::SocketAddrV4;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::http;
use crate::proc::Reading;

/// A sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) anonymous_mib: f64,
    pub(super) rss_mib: f64,
    pub(super) descriptors: f64,
    pub(super) channels: f64,
    pub(super) subscribers: f64,
    pub(super) stored: f64,
}

impl State {
    /// Reads the figures of the kernel and the server.
    pub(super) fn read(pid: u32, address: SocketAddrV4) -> Result<Self> {
        let body = http::request(
            address,
            "GET",
            "/channels-stats",
            "Accept: application/json\r\n",
            b"",
        )?
        .body;
        let stats: serde_json::Value =
            serde_json::from_str(&body).with_context(|| format!("statistics: {body:?}"))?;
        let count = |name: &str| {
            stats
                .get(name)
                .and_then(serde_json::Value::as_f64)
                .unwrap_or(f64::NAN)
        };
        let reading = Reading::of(pid);
        Ok(Self {
            anonymous_mib: reading.anonymous_kib as f64 / 1024.0,
            rss_mib: reading.rss_kib as f64 / 1024.0,
            descriptors: reading.descriptors as f64,
            channels: count("channels"),
            subscribers: count("subscribers"),
            stored: count("stored_messages"),
        })
    }
}

/// Means of two periods.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    pub(super) warm: State,
    pub(super) end: State,
}

impl Growth {
    /// A tenth of the time after the warm-up, at its start and at its end.
    pub(super) fn of(states: &[State], warm_up: usize) -> Self {
        let after = &states[warm_up.min(states.len().saturating_sub(1))..];
        let window = (after.len() / 10).max(1).min(after.len());
        Self {
            warm: mean(&after[..window]),
            end: mean(&after[after.len() - window..]),
        }
    }

    /// # Errors
    /// Returns an error if a value is greater at the end.
    pub(super) fn check(&self) -> Result<()> {
        let Self { warm, end } = self;
        for (what, warm, end, slack) in [
            (
                "anonymous memory (MiB)",
                warm.anonymous_mib,
                end.anonymous_mib,
                2.0,
            ),
            ("RSS (MiB)", warm.rss_mib, end.rss_mib, 2.0),
            ("descriptors", warm.descriptors, end.descriptors, 30.0),
            ("channels", warm.channels, end.channels, 30.0),
        ] {
            ensure!(
                end <= warm * 1.05 + slack,
                "{what} grew from {warm:.1} after the warm-up to \
                                                 {end:.1} at the end"
            );
        }
        Ok(())
    }
}

fn mean(states: &[State]) -> State {
    let of = |value: fn(&State) -> f64| {
        states.iter().map(value).sum::<f64>() / states.len().max(1) as f64
    };
    State {
        anonymous_mib: of(|state| state.anonymous_mib),
        rss_mib: of(|state| state.rss_mib),
        descriptors: of(|state| state.descriptors),
        channels: of(|state| state.channels),
        subscribers: of(|state| state.subscribers),
        stored: of(|state| state.stored),
    }
}

/// Takes a sample every second on a separate thread.
pub(super) struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<Result<Vec<State>>>,
}

impl Watch {
    pub(super) fn start(pid: u32, address: SocketAddrV4) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let mut states = vec![State::read(pid, address)?];
            loop {
                let next = Duration::from_secs(states.len() as u64).saturating_sub(start.elapsed());
                if stopped.recv_timeout(next) != Err(RecvTimeoutError::Timeout) {
                    return Ok(states);
                }
                // If the server has exited, this is reported elsewhere.
                let Ok(state) = State::read(pid, address) else {
                    return Ok(states);
                };
                if states.len().is_multiple_of(30) {
                    let State {
                        rss_mib,
                        descriptors,
                        channels,
                        subscribers,
                        stored,
                        ..
                    } = state;
                    let seconds = states.len();
                    eprintln!(
                        "{seconds} s: {rss_mib:.1} MiB, {descriptors} descriptors, {channels} \
                         channels, {subscribers} subscribers, {stored} stored"
                    );
                }
                states.push(state);
            }
        });
        Self { stop, thread }
    }

    pub(super) fn end(self) -> Result<Vec<State>> {
        drop(self.stop);
        self.thread.join().expect("the watch does not panic")
    }
}
