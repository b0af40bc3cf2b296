//! Colours, styles and borders, by the capabilities of the terminal.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use ratatui::text::Line;
use ratatui::widgets::Block;

use crate::cmd::output::figures;

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

/// Capabilities of the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    pub(super) color: bool,
    pub(super) unicode: bool,
}

impl Theme {
    /// Reads the capabilities from the environment.
    pub(crate) fn of_terminal() -> Self {
        Self {
            color: colored::control::SHOULD_COLORIZE.should_colorize(),
            unicode: figures::is_unicode(),
        }
    }

    pub(super) fn color(self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    pub(super) fn dim() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn bold() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn block(self, title: Line<'static>) -> Block<'static> {
        let set = if self.unicode {
            border::ROUNDED
        } else {
            ASCII_BORDER
        };
        // A title would inherit the dim style of its border.
        Block::bordered()
            .border_set(set)
            .border_style(Self::dim())
            .title(title)
            .title_style(Style::new().remove_modifier(Modifier::DIM))
    }
}
