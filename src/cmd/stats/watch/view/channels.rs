//! The table of channels.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::state::{SortKey, ViewState};
use super::theme::Theme;
use crate::client::statistics::ChannelInfo;
use crate::cmd::output::escape::printable;
use crate::cmd::output::figures::{fit, grouped, pad, short};

/// Titles and widths of the columns after the name.
const COLUMNS: [(&str, SortKey, usize); 4] = [
    ("subscribers", SortKey::Subscribers, 13),
    ("msg/s", SortKey::Rate, 9),
    ("published", SortKey::Published, 13),
    ("stored", SortKey::Stored, 11),
];

pub(super) fn draw_channels(
    frame: &mut Frame<'_>,
    state: &mut ViewState,
    theme: Theme,
    area: Rect,
) {
    let columns = usize::from(area.width);
    state.room = usize::from(area.height).saturating_sub(1);
    state.offset = state
        .offset
        .min(state.channels().len().saturating_sub(state.room));
    let infos = state.channels();
    let other_columns: usize = COLUMNS.iter().map(|(_, _, width)| width).sum();
    let name_width = columns.saturating_sub(other_columns + 1).max(8);
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

fn titles(state: &ViewState, count: usize, theme: Theme, name_width: usize) -> Line<'static> {
    let arrow = match (
        state.selection.reverse ^ (state.order == SortKey::Name),
        theme.unicode,
    ) {
        (false, true) => "▼",
        (true, true) => "▲",
        (false, false) => "v",
        (true, false) => "^",
    };
    let mark = |order: SortKey| if state.order == order { arrow } else { "" };
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
    let name = format!(" channel{}{range}", mark(SortKey::Name));
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
