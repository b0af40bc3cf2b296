//! Forms in which the command line takes durations, sizes and points in time.

use std::time::{Duration, SystemTime};

use super::durations::{PlainSeconds, parse_duration};
use crate::message::parse_http_date;

/// Parses `500ms`, `5s`, `1m 30s`, or a plain number of seconds.
///
/// # Errors
/// The reason why it is invalid.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text, PlainSeconds::Fractional).map_err(|reason| {
        // A number that is out of range needs no example.
        match text.parse::<f64>() {
            Ok(_) => reason,
            Err(_) => format!("{reason} (write for example 500ms, 5s or 1m30s)"),
        }
    })
}

/// Parses a size in bytes, such as `65536`, `64k`, `10m` or `1g`.
///
/// # Errors
/// The expected forms.
pub fn size<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number = digits
        .parse::<u64>()
        .ok()
        .filter(|number| *number > 0)
        .and_then(|number| number.checked_mul(1 << shift))
        .and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| "expected a size such as 65536, 64k, 10m or 1g".to_owned())
}

/// Minimum interval between two requests for the same resource, to spare the server.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Parses a duration of at least 100 ms.
///
/// # Errors
/// The reason why it is invalid.
pub fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < SHORTEST_INTERVAL {
        return Err(format!(
            "the minimum is {}",
            humantime::format_duration(SHORTEST_INTERVAL)
        ));
    }
    Ok(interval)
}

/// Parses a point in time into unix seconds: RFC 3339, an HTTP date, unix seconds, or a duration
/// before `now`.
///
/// # Errors
/// The reason why it is invalid.
pub fn since(text: &str, now: u64) -> Result<u64, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text
            .parse()
            .map_err(|_| "the number of seconds is too large".to_owned());
    }
    if let Some(seconds) = parse_http_date(text.as_bytes()) {
        return Ok(seconds);
    }
    if let Ok(ago) = parse_duration(text, PlainSeconds::Rejected) {
        return Ok(now.saturating_sub(ago.as_secs()));
    }
    let moment = moment(text).ok_or_else(|| {
        "not a time (write for example 2026-11-21T08:00:00Z, 2026-11-21T09:00+01:00, \
         2026-11-21, an HTTP date, unix seconds, or 5m \
         for five minutes ago; without a zone: UTC)"
            .to_owned()
    })?;
    moment
        .duration_since(std::time::UNIX_EPOCH)
        .map(|since| since.as_secs())
        .map_err(|_| "it is before 1970".to_owned())
}

/// Parses a date with an optional time, optional seconds and an optional zone (default: UTC).
fn moment(text: &str) -> Option<SystemTime> {
    let text = text.trim_end_matches(['Z', 'z']);
    let (date, rest) = text.split_at_checked(10)?;
    if rest.is_empty() {
        return humantime::parse_rfc3339_weak(&format!("{date} 00:00:00")).ok();
    }
    let (time, zone) = rest.split_at(rest.find(['+', '-']).unwrap_or(rest.len()));
    let time = time.trim_end();
    // "T08:00" lacks its seconds.
    let seconds = if time.len() == 6 { ":00" } else { "" };
    let local = humantime::parse_rfc3339_weak(&format!("{date}{time}{seconds}")).ok()?;
    let Some(sign) = zone.get(..1) else {
        return Some(local);
    };
    let digits: String = zone[1..].chars().filter(|letter| *letter != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hours: u64 = digits[..2].parse().ok()?;
    let minutes: u64 = digits[2..].parse().ok()?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = Duration::from_secs(hours * 3600 + minutes * 60);
    if sign == "+" {
        local.checked_sub(offset)
    } else {
        local.checked_add(offset)
    }
}

/// [`since`] with the clock of this machine.
///
/// # Errors
/// The reason why it is invalid.
pub fn since_now(text: &str) -> Result<u64, String> {
    since(text, crate::message::unix_now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_four_forms() {
        for text in [
            "1994-11-06T08:49:37Z",
            "1994-11-06 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "784111777",
        ] {
            assert_eq!(since(text, 0), Ok(784_111_777), "{text}");
        }
        for text in [
            "1994-11-06T09:49:37+01:00",
            "1994-11-06 04:19:37-0430",
            "1994-11-06T08:49:37",
            "1994-11-06T08:49:37.5Z",
        ] {
            assert_eq!(since(text, 0), Ok(784_111_777), "{text}");
        }
        assert_eq!(since("1994-11-06T09:49+01:00", 0), Ok(784_111_740));
        assert_eq!(since("1994-11-06", 0), Ok(784_080_000));
        for text in [
            "1994-11-06T09:49+1",
            "1994-11-06T09:49+25:00",
            "1994-11-06T",
            "1994-11-06T09",
            "1994-11-0\u{e9}",
        ] {
            assert!(since(text, 0).is_err(), "{text}");
        }
        assert_eq!(since("5m", 1000), Ok(700));
        assert_eq!(since("5m", 10), Ok(0));
        for text in ["", "yesterday", "-5", "99999999999999999999999"] {
            assert!(since(text, 0).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_may_be_plain_seconds() {
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for text in ["", "-1", "inf", "NaN", "5 bananas"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
