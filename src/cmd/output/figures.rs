//! Formats numbers, sizes, times and names for people, within the limits of the terminal. Pure,
//! except that it reads the environment.

use std::fmt;
use std::time::Duration;

use indicatif::ProgressState;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// `1234567` as `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    group(&number.to_string())
}

/// A number with separators and up to two decimal places.
#[must_use]
pub fn grouped_f64(number: f64) -> String {
    let text = format!("{:.2}", number.abs());
    let (whole, places) = text.split_once('.').unwrap_or((&text, ""));
    let sign = if number < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b)) {
        "-"
    } else {
        ""
    };
    let places = places.trim_end_matches('0');
    let point = if places.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{places}", group(whole))
}

fn group(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in at most five characters: `999`, `12.3k`, `4.56M`.
#[must_use]
pub fn short(number: f64) -> String {
    let (scaled, unit) = match number {
        n if n >= 999.5e9 => (n / 1e12, "T"),
        n if n >= 999.5e6 => (n / 1e9, "G"),
        n if n >= 999.5e3 => (n / 1e6, "M"),
        n if n >= 9_999.5 => (n / 1e3, "k"),
        n => (n, ""),
    };
    if unit.is_empty() && (scaled >= 99.95 || scaled.fract() == 0.0) {
        format!("{scaled:.0}")
    } else {
        format!("{}{unit}", three(scaled))
    }
}

/// Three digits: `1.23`, `12.3`, `123`.
fn three(number: f64) -> String {
    match number {
        n if n < 9.995 => format!("{n:.2}"),
        n if n < 99.95 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

/// Bytes: `16 KiB`, `1.50 MiB`.
#[must_use]
pub fn bytes(number: f64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1024.0 {
        return format!("{number:.0} B");
    }
    let mut scaled = number / 1024.0;
    let mut unit = 0;
    while scaled >= 999.5 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let text = if scaled.fract() == 0.0 {
        format!("{scaled:.0}")
    } else {
        three(scaled)
    };
    format!("{text} {}", units[unit])
}

/// A time in milliseconds, scaled to a readable unit: `850 µs`, `1.23 ms`, `12.5 s`; `us` without
/// `unicode`.
#[must_use]
pub fn milliseconds(number: f64, unicode: bool) -> String {
    match number {
        n if n < 0.9995 => format!("{} {}", three(n * 1e3), if unicode { "µs" } else { "us" }),
        n if n < 999.5 => format!("{} ms", three(n)),
        n => format!("{} s", three(n / 1e3)),
    }
}

/// Seconds: `1h 1m 1s`.
#[must_use]
pub fn uptime(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// Formats the rate of a progress bar per second, averaged from its start: the estimate of the
/// library weights the latest steps and is far off when they arrive in bursts.
pub fn speed(state: &ProgressState, text: &mut dyn fmt::Write) {
    let rate = measured(state);
    let shown = if rate < 10.0 {
        grouped_f64((rate * 10.0).round() / 10.0)
    } else {
        grouped(rate.round() as u64)
    };
    // Writing to the progress display fails only if the terminal is gone.
    let _ = write!(text, "{shown}/s");
}

/// Formats the remaining time of a progress bar at its average rate.
pub fn time_left(state: &ProgressState, text: &mut dyn fmt::Write) {
    let left = state.len().unwrap_or(0).saturating_sub(state.pos()) as f64;
    let _ = match Duration::try_from_secs_f64((left / measured(state)).ceil()) {
        Ok(left) => write!(text, "{}", uptime(left.as_secs())),
        Err(_) => write!(text, "-"),
    };
}

fn measured(state: &ProgressState) -> f64 {
    state.pos() as f64 / state.elapsed().as_secs_f64().max(1e-3)
}

/// Quantity of a counter, derived from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// A count, or a number of anything else.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

impl FigureKind {
    /// Derives the kind from the name of a counter.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let ends = |word: &str| {
            name == word
                || name.ends_with(&format!("_{word}"))
                || name.ends_with(&format!(".{word}"))
        };
        // "memory" and "incoming" are bytes; "refused.memory" counts requests rejected for lack of
        // memory.
        let is_of_memory = ["memory", "incoming"]
            .iter()
            .any(|part| name.contains(part))
            && (ends("used") || ends("limit"));
        if ends("bytes") || name == "memory" || is_of_memory {
            Self::Bytes
        } else if ends("seconds") || ends("uptime") {
            Self::Seconds
        } else if ends("ms") || ends("milliseconds") {
            Self::Milliseconds
        } else {
            Self::Count
        }
    }

    /// Formats the number with its unit.
    #[must_use]
    pub fn show(self, number: f64) -> String {
        match self {
            Self::Count => grouped_f64(number),
            Self::Bytes => bytes(number),
            Self::Seconds if (0.0..1e12).contains(&number) && number.fract() == 0.0 => {
                uptime(number as u64)
            }
            Self::Seconds => format!("{} s", grouped_f64(number)),
            Self::Milliseconds => format!("{} ms", grouped_f64(number)),
        }
    }
}

/// Width of `text` on a terminal, in columns.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// Truncates `text` to `columns` columns; `…` (`~` without `unicode`) marks the cut.
#[must_use]
pub fn fit(text: &str, columns: usize, unicode: bool) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mark = if unicode { "…" } else { "~" };
    let mut left = columns.saturating_sub(1);
    let mut kept = String::new();
    for letter in text.chars() {
        let Some(rest) = left.checked_sub(letter.width().unwrap_or(0)) else {
            break;
        };
        left = rest;
        kept.push(letter);
    }
    if columns > 0 {
        kept.push_str(mark);
    }
    kept
}

/// Pads `text` with spaces to `columns` columns; aligns it to the right if `right`.
#[must_use]
pub fn pad(text: &str, columns: usize, right: bool) -> String {
    let space = " ".repeat(columns.saturating_sub(text.width()));
    if right {
        space + text
    } else {
        text.to_owned() + &space
    }
}

/// True if the locale is UTF-8.
#[must_use]
pub fn is_unicode() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL")
        .or_else(|| set("LC_CTYPE"))
        .or_else(|| set("LANG"))
        .unwrap_or_default()
        .to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Width of the terminal on standard output; `None` if standard output is not a terminal.
#[must_use]
pub fn terminal_columns() -> Option<usize> {
    let stdout = std::io::stdout();
    if !std::io::IsTerminal::is_terminal(&stdout) {
        return None;
    }
    rustix::termios::tcgetwinsize(&stdout)
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), text);
        }
        for (number, text) in [
            (0.5, "0.5"),
            (-1234.0, "-1,234"),
            (1e6, "1,000,000"),
            (-0.001, "0"),
        ] {
            assert_eq!(grouped_f64(number), text);
        }
    }

    #[test]
    fn units_suit_the_size() {
        for (number, text) in [
            (0.0, "0"),
            (2.5, "2.50"),
            (999.0, "999"),
            (9999.0, "9999"),
            (12_345.0, "12.3k"),
            (999_600.0, "1.00M"),
            (4.56e9, "4.56G"),
        ] {
            assert_eq!(short(number), text);
        }
        for (number, text) in [
            (0.0, "0 B"),
            (1023.0, "1023 B"),
            (16384.0, "16 KiB"),
            (1.5 * 1048576.0, "1.50 MiB"),
            (512.0 * 1048576.0, "512 MiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        for (number, text) in [
            (0.0, "0.00 µs"),
            (0.85, "850 µs"),
            (0.9999, "1.00 ms"),
            (12.5, "12.5 ms"),
            (2500.0, "2.50 s"),
        ] {
            assert_eq!(milliseconds(number, true), text);
        }
    }

    #[test]
    fn wide_letters_count_twice() {
        assert_eq!(
            (
                width("日本"),
                fit("日本語", 4, true),
                fit("日本語", 5, false)
            ),
            (4, "日…".to_owned(), "日本~".to_owned())
        );
        assert_eq!(
            (pad("日", 4, true), fit("abc", 3, true), fit("abc", 0, true)),
            ("  日".to_owned(), "abc".to_owned(), String::new())
        );
    }

    #[test]
    fn unit_is_derived_from_the_name() {
        for (name, kind) in [
            ("memory_used", FigureKind::Bytes),
            ("memory.limit", FigureKind::Bytes),
            ("shared_memory_used_bytes", FigureKind::Bytes),
            ("uptime", FigureKind::Seconds),
            ("incoming.limit", FigureKind::Bytes),
            ("refused_connections.memory", FigureKind::Count),
            ("lag_ms", FigureKind::Milliseconds),
            ("messages_missed", FigureKind::Count),
        ] {
            assert_eq!(FigureKind::of(name), kind, "{name}");
        }
        assert_eq!(FigureKind::Seconds.show(3661.0), "1h 1m 1s");
    }
}
