//! The live display of a run: on a terminal only, on standard error.

use std::io::IsTerminal as _;
use std::rc::Rc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use super::books::Tally;
use super::run::SubscriberPool;
use crate::cmd::figures;

/// How often it is drawn.
const TICK: Duration = Duration::from_millis(100);

/// A display that follows the run until it is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    drawing: Option<AbortHandle>,
}

impl Progress {
    pub(super) fn connecting(crowd: &Rc<SubscriberPool>, all: u64) -> Self {
        Self::start("connecting", Some(all), crowd, |tally| tally.asked as u64)
    }

    pub(super) fn warming(crowd: &Rc<SubscriberPool>) -> Self {
        Self::start("warming up", None, crowd, |tally| tally.warmed)
    }

    pub(super) fn delivering(crowd: &Rc<SubscriberPool>, all: u64) -> Self {
        Self::start("delivering", Some(all), crowd, |tally| tally.delivered)
    }

    fn start(
        what: &'static str,
        all: Option<u64>,
        crowd: &Rc<SubscriberPool>,
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
        let crowd = Rc::clone(crowd);
        let shown = bar.clone();
        let drawing = spawn_local(async move {
            loop {
                shown.set_position(position(&crowd.tally()));
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
