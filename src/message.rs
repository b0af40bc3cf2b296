//! Message positions and HTTP dates, shared by client and server.
//!
//! Independent of channels, sockets and storage.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Position of a message as the push-stream protocol exposes it: the second of its publication and
/// a counter (`tag`) over all messages that the server accepted in that second, starting at 1.
///
/// Positions of one server are strictly increasing in the order of publication (push-stream.md,
/// section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Seconds since the Unix epoch.
    pub time: u64,
    /// Number of the message within that second.
    pub tag: u32,
}

impl Position {
    /// Creates the position of message `tag` in second `time`.
    #[must_use]
    pub fn new(time: u64, tag: u32) -> Self {
        Self { time, tag }
    }

    /// Formats the position as the event id `TIME:TAG`.
    #[must_use]
    pub fn event_id(&self) -> String {
        format!("{}:{}", self.time, self.tag)
    }

    /// Formats the time as an HTTP date (`Sun, 06 Nov 1994 08:49:37 GMT`).
    #[must_use]
    pub fn http_date(&self) -> String {
        http_date(self.time)
    }
}

/// Formats seconds since the Unix epoch as the preferred form of an HTTP date (RFC 9110, section
/// 5.6.7).
///
/// Times after the year 9999 are clamped to its last second: the format has four digits for the
/// year.
#[must_use]
pub fn http_date(unix_seconds: u64) -> String {
    const LAST: u64 = 253_402_300_799;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix_seconds.min(LAST)))
}

/// Parses an HTTP date in its RFC 1123, RFC 850 or asctime form into seconds since the Unix epoch.
///
/// As strict as nginx: the day of the first two forms needs two digits, the month is
/// case-sensitive, the weekday and the zone are ignored, and dates before 1970 are invalid
/// (push-stream.md, section 7.1).
#[must_use]
pub fn parse_http_date(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim_matches(' ');
    if let Some((_, rest)) = text.split_once(',') {
        let rest = rest.trim_start_matches(' ');
        let separator = if rest.as_bytes().get(2) == Some(&b'-') {
            '-'
        } else {
            ' '
        };
        let mut fields = rest.splitn(3, separator);
        let day = fields.next()?;
        let month = fields.next()?;
        let rest = fields.next()?;
        let (year, rest) = rest.split_once(' ')?;
        if day.len() != 2 {
            return None;
        }
        let year = match (separator, year.len()) {
            ('-', 2) => two_digit_year(number(year)?),
            (' ', 4) => number(year)?,
            _ => return None,
        };
        return seconds(year, month, number(day)?, rest.split(' ').next()?);
    }
    // asctime: "Sun Nov  6 08:49:37 1994"
    let mut fields = text.split(' ').filter(|field| !field.is_empty());
    let _weekday = fields.next()?;
    let month = fields.next()?;
    let day = fields.next()?;
    let clock = fields.next()?;
    let year = fields.next()?;
    if year.len() != 4 || day.len() > 2 {
        return None;
    }
    seconds(number(year)?, month, number(day)?, clock)
}

fn two_digit_year(year: u64) -> u64 {
    if year < 70 { 2000 + year } else { 1900 + year }
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn seconds(year: u64, month: &str, day: u64, clock: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    const DAYS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = MONTHS.iter().position(|name| *name == month)?;
    let mut fields = clock.split(':');
    let hour = two_digits(fields.next()?)?;
    let minute = two_digits(fields.next()?)?;
    let second = two_digits(fields.next()?)?;
    let leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let days_in_month = DAYS[month] + u64::from(leap && month == 1);
    if fields.next().is_some()
        || hour > 23
        || minute > 59
        || second > 59
        || day == 0
        || day > days_in_month
        || year < 1970
    {
        return None;
    }
    // Days since 1970-01-01, including the leap days of past years.
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let day_of_year = DAYS[..month].iter().sum::<u64>() + u64::from(leap && month > 1) + day - 1;
    Some(
        ((year - 1970) * 365 + leap_days + day_of_year) * 86_400
            + hour * 3600
            + minute * 60
            + second,
    )
}

fn two_digits(text: &str) -> Option<u64> {
    if text.len() == 2 { number(text) } else { None }
}

/// Returns the wall clock in whole seconds since the Unix epoch.
#[must_use]
pub fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_parsed_in_three_forms() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Xxx, 06 Nov 1994 08:49:37",
        ] {
            assert_eq!(
                parse_http_date(text.as_bytes()),
                Some(784_111_777),
                "{text}"
            );
        }
        assert_eq!(parse_http_date(b"Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(
            parse_http_date(b"Tue, 29 Feb 2028 23:59:59 GMT"),
            Some(1_835_481_599)
        );
    }

    #[test]
    fn invalid_http_dates_are_rejected() {
        for text in [
            "",
            "0",
            "Thu, 1 Jan 1970 00:00:00 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994",
            "\u{1f600}",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn http_dates_survive_a_round_trip() {
        for seconds in [
            0,
            1,
            951_782_400,
            1_795_000_000,
            4_102_444_800,
            7_258_118_400,
        ] {
            assert_eq!(
                parse_http_date(http_date(seconds).as_bytes()),
                Some(seconds)
            );
        }
    }
}
