//! Times as statistics and `$time_iso8601` show them.

/// Formats seconds since the Unix epoch as `2026-11-21T00:12:27`, in UTC.
#[must_use]
pub(in crate::server) fn iso_time(unix_seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.trim_end_matches('Z').to_owned()
}
