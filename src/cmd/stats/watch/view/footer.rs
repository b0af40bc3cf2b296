//! The last line and the help window.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::super::state::ViewState;
use super::theme::Theme;
use crate::cmd::output::escape::printable;
use crate::cmd::output::figures;
use crate::cmd::output::figures::{fit, pad, width};

/// The filter being edited, the error, or the keys, in this order of importance.
pub(super) fn footer(state: &ViewState, theme: Theme, columns: usize) -> Line<'static> {
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
            " no response for {}: {}; retrying",
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

pub(super) fn draw_help(frame: &mut Frame<'_>, theme: Theme, area: Rect) {
    let keys = [
        ("q, Ctrl-C", "quit"),
        ("s", "sort by the next column"),
        ("r", "reverse the order"),
        (
            "/ or f",
            "filter: a part of the name, a pattern (news*), or /regex/",
        ),
        ("Esc", "clear the filter"),
        ("p, space", "pause"),
        ("Enter", "request the counters now"),
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
