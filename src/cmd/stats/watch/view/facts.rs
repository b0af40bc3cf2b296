//! The lines about workers, memory and details of the server.

use ratatui::text::{Line, Span};

use super::super::state::ViewState;
use super::theme::Theme;
use crate::client::statistics::Summary;
use crate::cmd::output::escape::printable;
use crate::cmd::output::figures;
use crate::cmd::output::figures::{fit, grouped, pad, width};
use crate::cmd::stats::show::{detail, title};

/// Maximum number of lines for workers and details.
const FACTS: u16 = 4;

/// Workers with their subscribers, memory, and details of the server.
pub(super) fn facts(state: &ViewState, theme: Theme, columns: usize) -> Vec<Line<'static>> {
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

/// Memory in use, of the limit if there is one.
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
