//! Draws the view: a line of facts, three curves, workers and details, the channels, a line of
//! keys. Pure.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::{bar, border};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Sparkline};

use super::state::{Order, State};
use crate::client::statistics::{ChannelInfo, Summary};
use crate::cmd::escape::printable;
use crate::cmd::figures::{self, fit, grouped, pad, short, width};
use crate::cmd::stats::show::{detail, title};

/// Height of the curves with their frame.
const CURVES: u16 = 5;
/// Lines of workers and details, at most.
const FACTS: u16 = 4;
/// Below these the curves, then the workers and details are left out.
const HEIGHT_WITH_CURVES: u16 = 14;
const HEIGHT_WITH_FACTS: u16 = 18;
/// Titles and widths of the columns beside the name.
const COLUMNS: [(&str, Order, usize); 4] = [
    ("subscribers", Order::Subscribers, 13),
    ("msg/s", Order::Rate, 9),
    ("published", Order::Published, 13),
    ("stored", Order::Stored, 11),
];

/// Bars of a curve where there is no UTF-8.
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
const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// What the terminal can show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub(super) color: bool,
    pub(super) unicode: bool,
}

impl Theme {
    /// What the environment says about it.
    pub(super) fn of_terminal() -> Self {
        Self {
            color: colored::control::SHOULD_COLORIZE.should_colorize(),
            unicode: figures::is_unicode(),
        }
    }

    fn color(self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    fn dim() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn bold() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn block(self, title: Line<'static>) -> Block<'static> {
        let set = if self.unicode {
            border::ROUNDED
        } else {
            ASCII_BORDER
        };
        // A title would be as dim as the border that it stands on.
        Block::bordered()
            .border_set(set)
            .border_style(Self::dim())
            .title(title)
            .title_style(Style::new().remove_modifier(Modifier::DIM))
    }
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State, theme: Theme) {
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

/// Server, host, uptime on the left; whether it goes on, on the right.
fn header(state: &State, theme: Theme, columns: usize) -> Line<'static> {
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

fn draw_curves(frame: &mut Frame<'_>, state: &State, theme: Theme, area: Rect) {
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
        // The newest value is at the right edge, and the left one is empty until there are enough.
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

/// Workers with their share of the subscribers, memory, and what else the server counts.
fn facts(state: &State, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let Some(summary) = state
        .history
        .last
        .as_ref()
        .and_then(|last| last.summary.as_ref())
    else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    if !summary.by_worker.is_empty() {
        lines.push(named("workers", &workers(summary), theme, columns));
    }
    let trash = summary.messages_in_trash + summary.channels_in_trash + summary.channels_in_delete;
    let mut parts = vec![format!(
        "{} channels",
        grouped(summary.channels + summary.wildcard_channels)
    )];
    if trash > 0 {
        parts.push(format!("{} in trash", grouped(trash)));
    }
    parts.extend(memory(summary, theme));
    lines.push(named("server", &parts.join(", "), theme, columns));
    let others = summary
        .details
        .iter()
        .filter(|(name, number)| !name.contains("memory") && number.as_f64() != Some(0.0));
    let others: Vec<String> = others
        .map(|(name, number)| format!("{} {}", title(name), detail(name, number)))
        .collect();
    let mut line = String::new();
    for other in others {
        if !line.is_empty() && 10 + width(&line) + 2 + width(&other) > columns {
            lines.push(named("details", &std::mem::take(&mut line), theme, columns));
        }
        line.push_str(if line.is_empty() { "" } else { ", " });
        line.push_str(&other);
    }
    if !line.is_empty() {
        lines.push(named("details", &line, theme, columns));
    }
    lines.truncate(usize::from(FACTS));
    lines
}

fn named(name: &str, text: &str, theme: Theme, columns: usize) -> Line<'static> {
    let text = fit(&printable(text), columns.saturating_sub(10), theme.unicode);
    Line::from(vec![
        Span::styled(format!(" {}", pad(name, 9, false)), Theme::dim()),
        Span::raw(text),
    ])
}

fn workers(summary: &Summary) -> String {
    let each = summary
        .by_worker
        .iter()
        .map(|worker| format!("{}: {}", worker.pid, grouped(worker.subscribers)));
    format!(
        "{} ({})",
        summary.by_worker.len(),
        each.collect::<Vec<_>>().join(", ")
    )
}

/// Memory used, of its limit if there is one.
fn memory(summary: &Summary, theme: Theme) -> Option<String> {
    let find = |word: &str| {
        let mut found = summary
            .details
            .iter()
            .filter(|(name, _)| name.contains("memory") && name.contains(word));
        found.next().and_then(|(_, number)| number.as_f64())
    };
    let used = find("used")?;
    let limit = find("limit").filter(|limit| *limit > 0.0);
    let Some(limit) = limit else {
        return Some(format!("memory {}", figures::bytes(used)));
    };
    let filled = ((used / limit).clamp(0.0, 1.0) * 10.0).round() as usize;
    let (full, empty) = if theme.unicode {
        ("█", "░")
    } else {
        ("#", ".")
    };
    let gauge = full.repeat(filled) + &empty.repeat(10 - filled);
    Some(format!(
        "memory {gauge} {} of {}",
        figures::bytes(used),
        figures::bytes(limit)
    ))
}

fn draw_channels(frame: &mut Frame<'_>, state: &mut State, theme: Theme, area: Rect) {
    let columns = usize::from(area.width);
    state.room = usize::from(area.height).saturating_sub(1);
    state.offset = state
        .offset
        .min(state.channels().len().saturating_sub(state.room));
    let infos = state.channels();
    let beside: usize = COLUMNS.iter().map(|(_, _, width)| width).sum();
    let name_width = columns.saturating_sub(beside + 1).max(8);
    let mut lines = vec![titles(state, infos.len(), theme, name_width)];
    for info in infos.iter().skip(state.offset).take(state.room) {
        lines.push(channel(
            info,
            state.history.rate_of(&info.channel),
            theme,
            name_width,
        ));
    }
    if infos.is_empty() {
        let why = match state.lists_channels() {
            false => "this server does not list its channels",
            true if state.selection.is_given() => "no channel matches (Esc clears the filter)",
            true => "no channels",
        };
        lines.push(Line::styled(format!(" {why}"), Theme::dim()));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn titles(state: &State, count: usize, theme: Theme, name_width: usize) -> Line<'static> {
    let arrow = match (
        state.selection.reverse ^ (state.order == Order::Name),
        theme.unicode,
    ) {
        (false, true) => "▼",
        (true, true) => "▲",
        (false, false) => "v",
        (true, false) => "^",
    };
    let mark = |order: Order| if state.order == order { arrow } else { "" };
    let range = match count > state.room {
        _ if !state.lists_channels() => String::new(),
        true => format!(
            " {}-{} of {}",
            state.offset + 1,
            (state.offset + state.room).min(count),
            grouped(count as u64)
        ),
        false => format!(" {}", grouped(count as u64)),
    };
    let name = format!(" channel{}{range}", mark(Order::Name));
    let mut text = pad(
        &fit(&name, name_width + 1, theme.unicode),
        name_width + 1,
        false,
    );
    for (title, order, width) in COLUMNS {
        text.push_str(&pad(&format!("{title}{}", mark(order)), width, true));
    }
    Line::styled(text, Style::new().add_modifier(Modifier::REVERSED))
}

fn channel(info: &ChannelInfo, rate: f64, theme: Theme, name_width: usize) -> Line<'static> {
    let name = fit(&printable(&info.channel), name_width, theme.unicode);
    let cell = |text: String, width: usize, color: Color| {
        let style = if text == "0" {
            Theme::dim()
        } else {
            theme.color(color)
        };
        Span::styled(pad(&text, width, true), style)
    };
    let [subscribers, rates, published, stored] = COLUMNS.map(|(_, _, width)| width);
    Line::from(vec![
        Span::raw(format!(" {}", pad(&name, name_width, false))),
        cell(grouped(info.subscribers), subscribers, Color::Green),
        cell(short(rate), rates, Color::Cyan),
        cell(
            if info.hides_published {
                "-".to_owned()
            } else {
                grouped(info.published_messages)
            },
            published,
            Color::Reset,
        ),
        cell(grouped(info.stored_messages), stored, Color::Magenta),
    ])
}

/// The filter being typed, the loss, or the keys: whatever matters most.
fn footer(state: &State, theme: Theme, columns: usize) -> Line<'static> {
    if let Some(typed) = &state.typed {
        let mistake = state
            .mistake
            .as_ref()
            .map(|mistake| format!("  {mistake}"))
            .unwrap_or_default();
        let typed = fit(&printable(typed), columns.saturating_sub(12), theme.unicode);
        let rest = fit(
            &printable(&mistake),
            columns.saturating_sub(10 + width(&typed)),
            theme.unicode,
        );
        return Line::from(vec![
            Span::styled(" filter: ", Theme::bold()),
            Span::raw(typed),
            Span::styled(" ", Style::new().add_modifier(Modifier::REVERSED)),
            Span::styled(rest, theme.color(Color::Red)),
        ]);
    }
    if let Some((reason, since)) = &state.lost {
        let text = format!(
            " no answer for {}: {}; trying again",
            figures::uptime(since.elapsed().as_secs()),
            printable(reason)
        );
        return Line::styled(
            fit(&text, columns, theme.unicode),
            theme.color(Color::Red).patch(Theme::bold()),
        );
    }
    let filter = state
        .selection
        .filter
        .as_ref()
        .map(|filter| format!("filter {}", printable(&filter.text())))
        .unwrap_or_default();
    let keys = [
        ("q", "quit"),
        ("s", "sort"),
        ("r", "reverse"),
        ("/", "filter"),
        ("p", "pause"),
        ("?", "help"),
    ];
    let mut spans = vec![Span::raw(" ")];
    for (key, what) in keys {
        spans.push(Span::styled(
            key,
            theme.color(Color::Cyan).patch(Theme::bold()),
        ));
        spans.push(Span::styled(format!(" {what}  "), Theme::dim()));
    }
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    spans.push(Span::styled(
        fit(&filter, columns.saturating_sub(used), theme.unicode),
        theme.color(Color::Yellow),
    ));
    Line::from(spans)
}

fn draw_help(frame: &mut Frame<'_>, theme: Theme, area: Rect) {
    let keys = [
        ("q, Ctrl-C", "end"),
        ("s", "sort by the next column"),
        ("r", "reverse the order"),
        (
            "/ or f",
            "filter: a part of the name, a pattern (news*), or /regex/",
        ),
        ("Esc", "clear the filter"),
        ("p, space", "pause"),
        ("Enter", "ask the server now"),
        ("arrows, page keys", "scroll"),
        ("g, G", "go to the first, to the last"),
    ];
    let lines: Vec<Line<'_>> = keys
        .iter()
        .map(|(key, what)| {
            Line::from(vec![
                Span::styled(format!(" {}", pad(key, 19, false)), Theme::bold()),
                Span::raw(*what),
            ])
        })
        .collect();
    let columns = area.width.min(80);
    let rows = area.height.min(lines.len() as u16 + 2);
    let popup = Rect::new(
        (area.width - columns) / 2,
        (area.height - rows) / 2,
        columns,
        rows,
    );
    frame.render_widget(Clear, popup);
    frame.render_widget(
        Paragraph::new(lines).block(theme.block(Line::from(" keys "))),
        popup,
    );
}
