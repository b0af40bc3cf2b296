//! Durations of the command line.

use std::time::Duration;

/// Which plain numbers of seconds are durations, besides those with units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainSeconds {
    /// None.
    Rejected,
    /// `30`
    Whole,
    /// `30` and `1.5`
    Fractional,
}

/// Parses `500ms`, `5s`, `1m 30s`, or a plain number of seconds.
///
/// # Errors
/// The reason why it is invalid.
pub(crate) fn parse_duration(text: &str, plain: PlainSeconds) -> Result<Duration, String> {
    match plain {
        PlainSeconds::Rejected => {}
        PlainSeconds::Whole => {
            if let Ok(seconds) = text.parse() {
                return Ok(Duration::from_secs(seconds));
            }
        }
        PlainSeconds::Fractional => {
            if let Ok(seconds) = text.parse() {
                return Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string());
            }
        }
    }
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_are_durations_where_they_are_allowed() {
        use PlainSeconds::{Fractional, Rejected, Whole};
        for (text, plain, milliseconds) in [
            ("1.5", Fractional, Some(1500)),
            ("1.5", Whole, None),
            ("2", Whole, Some(2000)),
            ("2", Rejected, None),
            ("1m 30s", Rejected, Some(90_000)),
            ("500ms", Whole, Some(500)),
            ("-1", Fractional, None),
            ("", Whole, None),
        ] {
            assert_eq!(
                parse_duration(text, plain).ok(),
                milliseconds.map(Duration::from_millis),
                "{text} {plain:?}"
            );
        }
    }
}
