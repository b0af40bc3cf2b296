//! Limits of groups that requests set (nhpm-nchan.md, section 2.11).

use super::text;
use crate::server::broker::Broker;
use crate::server::config::model::nchan::GroupLimitExpressions;
use crate::server::config::{Expression, Variables};
use crate::server::exchange::response::{Response, Status};

/// Sets the limits that the location configures; an empty value leaves a limit unchanged.
///
/// # Errors
/// The response to an invalid value, without CORS headers.
pub fn set_limits(
    broker: &Broker,
    group: &[u8],
    limits: &GroupLimitExpressions,
    variables: &dyn Variables,
) -> Result<(), Box<Response>> {
    let number = |text: &[u8]| crate::server::config::model::units::number(text);
    let read = |limit: &Option<Expression>,
                name: &str,
                parse: &dyn Fn(&[u8]) -> Option<u64>|
     -> Result<Option<u64>, Box<Response>> {
        let Some(value) = limit
            .as_ref()
            .map(|limit| limit.evaluate(variables))
            .filter(|value| !value.is_empty())
        else {
            return Ok(None);
        };
        let wrong = || {
            Box::new(text(
                Status::FORBIDDEN,
                &format!("invalid nchan_group_max_{name} value"),
            ))
        };
        parse(&value).map(Some).ok_or_else(wrong)
    };
    let channels = read(&limits.channels, "channels", &number)?;
    let subscribers = read(&limits.subscribers, "subscribers", &number)?;
    let messages = read(&limits.messages, "messages", &number)?;
    let memory = read(&limits.messages_memory, "messages_memory", &size)?;
    let disk = read(&limits.messages_disk, "messages_disk", &size)?;
    if [channels, subscribers, messages, memory, disk]
        .iter()
        .all(Option::is_none)
    {
        return Ok(());
    }
    let set = broker.groups().limit_group(group, |limits| {
        for (limit, value) in [
            (&mut limits.channels, channels),
            (&mut limits.subscribers, subscribers),
            (&mut limits.messages, messages),
            (&mut limits.messages_memory, memory),
            (&mut limits.messages_disk, disk),
        ] {
            *limit = value.unwrap_or(*limit);
        }
    });
    set.map_err(|_no_room| Box::new(Response::error_page(Status::INTERNAL).closing()))
}

/// Reads a size such as `100`, `1M` or `0.5G` into bytes.
fn size(text: &[u8]) -> Option<u64> {
    let (digits, unit) = match text {
        [digits @ .., b'k' | b'K'] => (digits, 1_u64 << 10),
        [digits @ .., b'm' | b'M'] => (digits, 1 << 20),
        [digits @ .., b'g' | b'G'] => (digits, 1 << 30),
        digits => (digits, 1),
    };
    if digits.is_empty()
        || !digits
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
    {
        return None;
    }
    let number: f64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let bytes = number * unit as f64;
    (bytes.is_finite() && bytes < 9e18).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_have_fractions() {
        for (text, expected) in [
            ("100", Some(100)),
            ("1M", Some(1_048_576)),
            ("0.5G", Some(536_870_912)),
            ("zz", None),
            ("-1", None),
            ("", None),
            ("1.2.3", None),
            ("inf", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(size(text.as_bytes()), expected, "{text}");
        }
    }
}
