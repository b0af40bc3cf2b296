//! State of the view: order, filter, pause, scrolling. Does no I/O.

use std::time::{Duration, Instant};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::history::{History, Sample};
use crate::client::statistics::ChannelInfo;
use crate::cmd::stats::select::{Filter, Selection, Sort};

/// Sort key of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SortKey {
    Subscribers,
    Rate,
    Published,
    Stored,
    Name,
}

impl SortKey {
    fn next(self) -> Self {
        match self {
            Self::Subscribers => Self::Rate,
            Self::Rate => Self::Published,
            Self::Published => Self::Stored,
            Self::Stored => Self::Name,
            Self::Name => Self::Subscribers,
        }
    }
}

/// What the loop does after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Redraw.
    Redraw,
    /// Quit.
    Quit,
    /// Exit as after a signal.
    Interrupt,
    /// Suspend.
    Suspend,
    /// Request the counters now.
    Refresh,
}

/// Everything that is drawn.
#[derive(Debug)]
pub(super) struct ViewState {
    /// The server as written by the user.
    pub(super) server: String,
    pub(super) interval: Duration,
    pub(super) history: History,
    pub(super) order: SortKey,
    pub(super) selection: Selection,
    /// The filter that is being edited.
    pub(super) typed: Option<String>,
    /// The error of that filter.
    pub(super) mistake: Option<String>,
    pub(super) is_paused: bool,
    pub(super) shows_help: bool,
    /// Number of channels scrolled past.
    pub(super) offset: usize,
    /// Number of channels that fitted on the last screen.
    pub(super) room: usize,
    /// The error of the last request, and since when requests fail.
    pub(super) lost: Option<(String, Instant)>,
}

impl ViewState {
    pub(super) fn new(server: String, interval: Duration, selection: Selection) -> Self {
        let order = match selection.sort {
            Some(Sort::Stored) => SortKey::Stored,
            Some(Sort::Published) => SortKey::Published,
            Some(Sort::Name) => SortKey::Name,
            Some(Sort::Subscribers) | None => SortKey::Subscribers,
        };
        Self {
            server,
            interval,
            history: History::default(),
            order,
            selection,
            typed: None,
            mistake: None,
            is_paused: false,
            shows_help: false,
            offset: 0,
            room: 1,
            lost: None,
        }
    }

    /// Records a response, or the error of a request.
    pub(super) fn record_response(&mut self, sampled: Result<Sample, String>) {
        match sampled {
            Ok(sample) => {
                self.lost = None;
                if !self.is_paused {
                    self.history.enter(sample);
                }
            }
            Err(reason) => {
                let since = self
                    .lost
                    .as_ref()
                    .map_or_else(Instant::now, |(_, since)| *since);
                self.lost = Some((reason, since));
            }
        }
    }

    /// True if the channels are known.
    pub(super) fn lists_channels(&self) -> bool {
        self.history
            .last
            .as_ref()
            .is_none_or(|last| last.lists_channels)
    }

    /// Returns the channels to show, in their order.
    pub(super) fn channels(&self) -> Vec<&ChannelInfo> {
        let Some(last) = &self.history.last else {
            return Vec::new();
        };
        let mut infos: Vec<&ChannelInfo> = last
            .channels
            .iter()
            .filter(|info| self.selection.takes(info))
            .collect();
        let history = &self.history;
        match self.order {
            SortKey::Subscribers => infos.sort_by(|a, b| {
                b.subscribers
                    .cmp(&a.subscribers)
                    .then_with(|| a.channel.cmp(&b.channel))
            }),
            SortKey::Published => {
                infos.sort_by(|a, b| {
                    b.published_messages
                        .cmp(&a.published_messages)
                        .then_with(|| a.channel.cmp(&b.channel))
                });
            }
            SortKey::Stored => infos.sort_by(|a, b| {
                b.stored_messages
                    .cmp(&a.stored_messages)
                    .then_with(|| a.channel.cmp(&b.channel))
            }),
            SortKey::Rate => infos.sort_by(|a, b| {
                history
                    .rate_of(&b.channel)
                    .total_cmp(&history.rate_of(&a.channel))
                    .then_with(|| a.channel.cmp(&b.channel))
            }),
            SortKey::Name => infos.sort_by(|a, b| a.channel.cmp(&b.channel)),
        }
        if self.selection.reverse {
            infos.reverse();
        }
        infos.truncate(self.selection.top.unwrap_or(usize::MAX));
        infos
    }

    /// Handles a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Action {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Action::Interrupt,
                KeyCode::Char('z') => return Action::Suspend,
                _ => {}
            }
        }
        if self.typed.is_some() {
            self.type_key(key.code);
            return Action::Redraw;
        }
        if std::mem::take(&mut self.shows_help) {
            return if key.code == KeyCode::Char('q') {
                Action::Quit
            } else {
                Action::Redraw
            };
        }
        match key.code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Char('r') => self.selection.reverse = !self.selection.reverse,
            KeyCode::Char('s') => {
                self.order = self.order.next();
                self.offset = 0;
            }
            KeyCode::Char('/' | 'f') => {
                self.typed = Some(
                    self.selection
                        .filter
                        .as_ref()
                        .map(Filter::text)
                        .unwrap_or_default(),
                )
            }
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.shows_help = true,
            KeyCode::Enter | KeyCode::F(5) => return Action::Refresh,
            KeyCode::Esc => self.selection.filter = None,
            code => self.scroll(code),
        }
        Action::Redraw
    }

    fn scroll(&mut self, code: KeyCode) {
        let page = self.room.max(1);
        self.offset = match code {
            KeyCode::Down | KeyCode::Char('j') => self.offset + 1,
            KeyCode::Up | KeyCode::Char('k') => self.offset.saturating_sub(1),
            KeyCode::PageDown => self.offset + page,
            KeyCode::PageUp => self.offset.saturating_sub(page),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => usize::MAX,
            _ => self.offset,
        };
        self.offset = self.offset.min(self.channels().len().saturating_sub(page));
    }

    /// Handles a key while a filter is edited.
    fn type_key(&mut self, code: KeyCode) {
        let Some(typed) = &mut self.typed else { return };
        self.mistake = None;
        match code {
            KeyCode::Char(letter) => typed.push(letter),
            KeyCode::Backspace => {
                typed.pop();
            }
            KeyCode::Esc => self.typed = None,
            KeyCode::Enter => match typed.as_str() {
                "" => {
                    self.selection.filter = None;
                    self.typed = None;
                }
                // Other keys are part of the name.
                text => match Filter::parse(&wrapped(text)) {
                    Ok(filter) => {
                        self.selection.filter = Some(filter);
                        self.typed = None;
                        self.offset = 0;
                    }
                    Err(mistake) => self.mistake = Some(mistake),
                },
            },
            _ => {}
        }
    }
}

/// A plain word matches names that contain it; a pattern with wildcards is unchanged.
fn wrapped(text: &str) -> String {
    if text.starts_with('/') || text.contains(['*', '?', '[', '{']) {
        text.to_owned()
    } else {
        format!("*{text}*")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ViewState {
        let mut state = ViewState::new(
            "http://h".to_owned(),
            Duration::from_secs(2),
            Selection::default(),
        );
        let info = |(channel, subscribers): &(&str, u64)| ChannelInfo {
            channel: (*channel).to_owned(),
            subscribers: *subscribers,
            ..ChannelInfo::default()
        };
        let channels = [("a", 1), ("news", 3), ("b", 2)].iter().map(info).collect();
        state.record_response(Ok(Sample {
            at: Instant::now(),
            summary: None,
            channels,
            lists_channels: true,
        }));
        state
    }

    fn press(state: &mut ViewState, keys: &str) -> Action {
        let code = |letter| match letter {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            letter => KeyCode::Char(letter),
        };
        keys.chars()
            .map(|letter| state.key(KeyEvent::from(code(letter))))
            .last()
            .expect("keys")
    }

    fn names(state: &ViewState) -> String {
        state
            .channels()
            .iter()
            .map(|info| info.channel.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn keys_sort_and_filter() {
        let mut state = state();
        assert_eq!(names(&state), "news b a");
        press(&mut state, "r");
        assert_eq!(names(&state), "a b news");
        press(&mut state, "rssss");
        assert_eq!(
            (state.order, names(&state).as_str()),
            (SortKey::Name, "a b news")
        );
        press(&mut state, "/ew\n");
        assert_eq!(names(&state), "news");
        press(&mut state, "\u{1b}/[\n");
        assert!(state.mistake.is_some() && state.typed.is_some());
        press(&mut state, "\u{1b}");
        assert_eq!(
            (state.typed.as_deref(), names(&state).as_str()),
            (None, "a b news")
        );
        assert_eq!(
            press(&mut state, "/q"),
            Action::Redraw,
            "a letter of the filter"
        );
        assert_eq!(press(&mut state, "\u{1b}q"), Action::Quit);
    }

    #[test]
    fn a_pause_keeps_the_picture_but_not_the_loss() {
        let mut state = state();
        press(&mut state, "p");
        state.record_response(Ok(Sample {
            at: Instant::now(),
            summary: None,
            channels: Vec::new(),
            lists_channels: true,
        }));
        assert_eq!(names(&state), "news b a");
        state.record_response(Err("gone".to_owned()));
        let since = state.lost.as_ref().map(|(_, since)| *since);
        state.record_response(Err("still".to_owned()));
        assert_eq!(state.lost, since.map(|since| ("still".to_owned(), since)));
    }

    #[test]
    fn scrolling_stops_at_the_ends() {
        let mut state = state();
        state.room = 2;
        press(&mut state, "jjj");
        assert_eq!(state.offset, 1);
        press(&mut state, "k");
        press(&mut state, "G");
        assert_eq!(state.offset, 1);
        press(&mut state, "g");
        assert_eq!(state.offset, 0);
    }
}
