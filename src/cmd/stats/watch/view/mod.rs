//! Drawing of the view: a line of facts, three curves, workers and details, the channels, a line of
//! keys. Does no I/O.

mod channels;
mod facts;
mod footer;
mod theme;

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier};
use ratatui::symbols::bar;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use self::channels::draw_channels;
use self::facts::facts;
use self::footer::{draw_help, footer};

pub(super) use self::theme::Theme;
use super::state::ViewState;
use crate::cmd::output::escape::printable;
use crate::cmd::output::figures;
use crate::cmd::output::figures::{fit, grouped, short, width};

/// Height of the curves with their border.
const CURVES: u16 = 5;
/// Terminals with fewer lines omit the curves, then the workers and details.
const HEIGHT_WITH_CURVES: u16 = 14;
const HEIGHT_WITH_FACTS: u16 = 18;
/// Bars of a curve without UTF-8.
const ASCII_BARS: bar::Set<'static> = bar::Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "#",
    five_eighths: "=",
    half: "=",
    three_eighths: "-",
    one_quarter: "-",
    one_eighth: ".",
    empty: " ",
};
/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut ViewState, theme: Theme) {
    let area = frame.area();
    let facts = facts(state, theme, usize::from(area.width));
    let curves_height = if area.height >= HEIGHT_WITH_CURVES {
        CURVES
    } else {
        0
    };
    let facts_height = if area.height >= HEIGHT_WITH_FACTS {
        facts.len() as u16
    } else {
        0
    };
    let heights = [1, curves_height, facts_height, 0, 1].map(Constraint::Length);
    let [head, curves, middle, list, foot] = Layout::vertical([
        heights[0],
        heights[1],
        heights[2],
        Constraint::Min(2),
        heights[4],
    ])
    .areas(area);
    frame.render_widget(header(state, theme, usize::from(area.width)), head);
    draw_curves(frame, state, theme, curves);
    frame.render_widget(Paragraph::new(facts), middle);
    draw_channels(frame, state, theme, list);
    frame.render_widget(footer(state, theme, usize::from(area.width)), foot);
    if state.shows_help {
        draw_help(frame, theme, area);
    }
}

/// Server, host and uptime on the left; the state of the updates on the right.
fn header(state: &ViewState, theme: Theme, columns: usize) -> Line<'static> {
    let every = format!("every {}", humantime::format_duration(state.interval));
    let (right, style) = match (&state.lost, state.is_paused) {
        (Some(_), _) => (
            "LOST".to_owned(),
            theme
                .color(Color::Red)
                .add_modifier(Modifier::BOLD | Modifier::REVERSED),
        ),
        (None, true) => (
            "PAUSED".to_owned(),
            theme
                .color(Color::Yellow)
                .add_modifier(Modifier::BOLD | Modifier::REVERSED),
        ),
        (None, false) => (every, Theme::dim()),
    };
    let mut facts = Vec::new();
    if let Some(summary) = state
        .history
        .last
        .as_ref()
        .and_then(|last| last.summary.as_ref())
    {
        facts.push(printable(&summary.hostname));
        if !summary.time.is_empty() {
            facts.push(format!("up {}", figures::uptime(summary.uptime)));
        }
    }
    let separator = if theme.unicode { "  ·  " } else { "  |  " };
    let room = columns.saturating_sub(width(&right) + 2);
    let server = fit(
        &printable(&state.server),
        room.saturating_sub(9),
        theme.unicode,
    );
    let rest: String = facts
        .iter()
        .filter(|fact| !fact.is_empty())
        .map(|fact| format!("{separator}{fact}"))
        .collect();
    let rest = fit(
        &rest,
        room.saturating_sub(8 + width(&server)),
        theme.unicode,
    );
    let gap = columns.saturating_sub(8 + width(&server) + width(&rest) + width(&right));
    Line::from(vec![
        Span::styled(
            "pushctl ",
            theme.color(Color::Cyan).add_modifier(Modifier::BOLD),
        ),
        Span::styled(server, Theme::bold()),
        Span::raw(rest),
        Span::raw(" ".repeat(gap)),
        Span::styled(right, style),
    ])
}

fn draw_curves(frame: &mut Frame<'_>, state: &ViewState, theme: Theme, area: Rect) {
    if area.height == 0 {
        return;
    }
    let history = &state.history;
    let thirds = Layout::horizontal([Constraint::Fill(1); 3]).areas::<3>(area);
    let last = |curve: &VecDeque<u64>| {
        curve
            .back()
            .map_or_else(String::new, |value| grouped(*value))
    };
    let rate = if history.published.is_empty() {
        "...".to_owned()
    } else {
        short(history.rate)
    };
    let curves = [
        (
            "subscribers",
            last(&history.subscribers),
            &history.subscribers,
            Color::Green,
        ),
        ("messages/s", rate, &history.published, Color::Cyan),
        (
            "stored",
            last(&history.stored),
            &history.stored,
            Color::Magenta,
        ),
    ];
    for ((name, value, curve, color), area) in curves.into_iter().zip(thirds) {
        let heading = Line::from(vec![
            Span::raw(format!(" {name} ")),
            Span::styled(format!("{value} "), theme.color(color).patch(Theme::bold())),
        ]);
        let block = theme.block(heading);
        let columns = usize::from(block.inner(area).width);
        // The latest value is at the right edge; the left side is empty until there are enough
        // values.
        let shown: Vec<u64> = curve
            .iter()
            .skip(curve.len().saturating_sub(columns))
            .copied()
            .collect();
        let bars = [vec![0; columns.saturating_sub(shown.len())], shown].concat();
        let line = Sparkline::default()
            .data(bars)
            .style(theme.color(color))
            .block(block);
        let line = if theme.unicode {
            line
        } else {
            line.bar_set(ASCII_BARS)
        };
        frame.render_widget(line, area);
    }
}
