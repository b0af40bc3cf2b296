//! The live display of a run on standard error, on a terminal only.

use std::io::IsTerminal as _;
use std::rc::Rc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use super::pool::SubscriberPool;
use super::results::Tally;
use crate::cmd::output::figures;

/// Interval of drawing.
const TICK: Duration = Duration::from_millis(100);

/// A display that is updated until it is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    drawing: Option<AbortHandle>,
}

impl Progress {
    pub(super) fn connecting(pool: &Rc<SubscriberPool>, all: u64) -> Self {
        Self::start("connecting", Some(all), pool, |tally| {
            tally.requested as u64
        })
    }

    pub(super) fn warming(pool: &Rc<SubscriberPool>) -> Self {
        Self::start("warming up", None, pool, |tally| tally.warmed)
    }

    pub(super) fn delivering(pool: &Rc<SubscriberPool>, all: u64) -> Self {
        Self::start("delivering", Some(all), pool, |tally| tally.delivered)
    }

    fn start(
        what: &'static str,
        all: Option<u64>,
        pool: &Rc<SubscriberPool>,
        position: fn(&Tally) -> u64,
    ) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
                drawing: None,
            };
        }
        let bar =
            ProgressBar::with_draw_target(all, ProgressDrawTarget::stderr()).with_message(what);
        let template = match all {
            Some(_) => "{msg} [{wide_bar}] {human_pos}/{human_len} {speed:>12} {left:>4}",
            None => "{msg} {spinner} {human_pos} {speed:>12} {elapsed:>4}",
        };
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(
                style
                    .progress_chars("=> ")
                    .tick_chars("-\\|/ ")
                    .with_key("speed", figures::speed)
                    .with_key("left", figures::time_left),
            ),
            Err(_) => bar,
        };
        let pool = Rc::clone(pool);
        let shown = bar.clone();
        let drawing = spawn_local(async move {
            loop {
                shown.set_position(position(&pool.tally()));
                shown.tick();
                sleep(TICK).await;
            }
        });
        Self {
            bar,
            drawing: Some(drawing.abort_handle()),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(drawing) = &self.drawing {
            drawing.abort();
        }
        self.bar.finish_and_clear();
    }
}
