//! Values of the options of `serve`: sizes and times.

use std::time::Duration;

use crate::cmd::args::{PlainSeconds, parse_duration, size};

/// Minimum of `--memory` and `--connection-memory`: a server with less rejects every request.
const MIN_MEMORY_BYTES: u64 = 1 << 20;

/// Parses a size of memory. A number without unit is often meant in MiB, so small ones are
/// rejected.
pub(super) fn memory_size(text: &str) -> Result<u64, String> {
    let bytes: u64 = size(text)?;
    if bytes < MIN_MEMORY_BYTES {
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        return Err(format!(
            "{bytes} bytes is less than the minimum of 1m (write {digits}m for {digits} MiB)"
        ));
    }
    Ok(bytes)
}

/// Parses a size or 0.
pub(super) fn size_or_zero(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { size(text) }
}

/// Parses a time such as `500ms`, `30s` or `1m 30s`; a plain number is in seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text, PlainSeconds::Whole)
        .map_err(|_| "expected a time such as 500ms, 30s, 5m or 2h".to_owned())
}

/// Parses a time of at least one second, the kernel's unit for TCP keep-alive.
pub(super) fn at_least_one_second(text: &str) -> Result<Duration, String> {
    duration(text)
        .ok()
        .filter(|time| time.as_secs() > 0)
        .ok_or_else(|| "expected a time of at least 1s".to_owned())
}

/// Parses a time of whole seconds, at least one.
pub(super) fn whole_seconds(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.as_secs() == 0 || duration.subsec_nanos() > 0 {
        return Err("expected a time of whole seconds, at least 1s".to_owned());
    }
    Ok(duration)
}

/// Replaces `target` by an option's value, if the option is given.
pub(super) fn set<T, U: TryFrom<T>>(target: &mut U, value: Option<T>) {
    if let Some(value) = value.and_then(|value| U::try_from(value).ok()) {
        *target = value;
    }
}
