//! Values of the `nchan_*` directives (nhpm-nchan.md, section 2.13).

use std::time::Duration;

use bytes::Bytes;

use crate::server::config::Expression;
use crate::server::config::model::nchan::{FirstMessage, MultipartResponse, Setting};
use crate::server::config::model::units;
use crate::server::config::source::nginx::levels::Scope;
use crate::server::config::source::nginx::nchan_unsupported::redis;
use crate::server::config::source::nginx::rule::Value;

pub(super) fn expressions(value: &Value<'_>) -> Result<Vec<Expression>, String> {
    let parse = |text: &Vec<u8>| {
        Expression::parse_with(text, value.names).map_err(|error| error.to_string())
    };
    value.arguments.iter().map(parse).collect()
}

/// An invalid time means the default, as in nchan.
pub(super) fn message_timeout(
    value: &Value<'_>,
) -> Result<Option<Setting<Option<Duration>>>, String> {
    if value.first().contains(&b'$') {
        return Ok(value.expression()?.map(Setting::Variable));
    }
    Ok(units::time(value.first(), false)
        .map(|time| Setting::Fixed(Some(time).filter(|time| !time.is_zero()))))
}

/// An invalid number means the default, as in nchan.
pub(super) fn buffer_length(value: &Value<'_>) -> Result<Option<Setting<u64>>, String> {
    if value.first().contains(&b'$') {
        return Ok(value.expression()?.map(Setting::Variable));
    }
    Ok(units::number(value.first()).map(Setting::Fixed))
}

pub(super) fn store_messages(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    match value.first() {
        b"off" => scope.level.nchan.store_messages = Some(false),
        b"on" => scope.level.nchan.store_messages = Some(true),
        _ => scope.notices.push(format!(
            "\"{} {}\" has no effect: it must be \"on\" or \"off\"",
            value.name,
            value.shown()
        )),
    }
    Ok(())
}

/// A directive without effect in nchan, or without one that a client of pushctl can observe.
pub(super) fn ignored(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope
        .notices
        .push(format!("\"{}\" has no effect", value.name));
    Ok(())
}

pub(super) fn storage_engine(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    match value.first() {
        b"memory" => Ok(()),
        b"redis" => redis(scope, value),
        _ => Err(format!(
            "invalid nchan_storage_engine value: {}",
            value.shown()
        )),
    }
}

pub(super) fn first_message(value: &Value<'_>) -> Result<FirstMessage, String> {
    const MOST: u32 = 32;
    let number = |text: &[u8]| {
        units::number(text)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number <= MOST)
    };
    let found = match value.first().to_ascii_lowercase().as_slice() {
        b"oldest" => Some(FirstMessage::Oldest),
        b"newest" | b"0" => Some(FirstMessage::Newest),
        [b'-', digits @ ..] => number(digits).map(FirstMessage::FromNewest),
        digits => number(digits).map(FirstMessage::FromOldest),
    };
    found.ok_or_else(|| {
        format!(
            "invalid {} value: {}, must be 'oldest', 'newest', or a number between -{MOST} and \
                 {MOST}",
            value.name,
            value.shown()
        )
    })
}

pub(super) fn header_name(value: &Value<'_>) -> Result<Bytes, String> {
    let is_name = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
    if value.first().iter().all(is_name) {
        Ok(value.text())
    } else {
        Err(format!("invalid header name \"{}\"", value.shown()))
    }
}

pub(super) fn line(value: &Value<'_>) -> Result<Bytes, String> {
    if value
        .first()
        .iter()
        .any(|byte| matches!(byte, b'\n' | b'\r'))
    {
        return Err(format!(
            "\"{}\" can't contain any newline characters",
            value.name
        ));
    }
    Ok(value.text())
}

pub(super) fn multipart(value: &Value<'_>) -> Result<MultipartResponse, String> {
    match value.first() {
        b"on" => Ok(MultipartResponse::On),
        b"off" => Ok(MultipartResponse::Off),
        b"raw" => Ok(MultipartResponse::Raw),
        _ => Err(format!(
            "invalid value for {}: {};'. Must be 'on', 'off', or 'raw'",
            value.name,
            value.shown()
        )),
    }
}

/// A separator that is not empty ends in a line break.
pub(super) fn separator(value: &Value<'_>) -> Bytes {
    match value.first() {
        [] | [.., b'\n'] => value.text(),
        text => [text, b"\n"].concat().into(),
    }
}

pub(super) fn heartbeat(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let text = |number: usize| Bytes::copy_from_slice(&value.arguments[number]);
    scope.level.nchan.websocket_heartbeat = Some((text(0), text(1)));
    Ok(())
}

pub(super) fn deflate(value: &Value<'_>) -> Result<bool, String> {
    value.flag().ok().flatten().ok_or_else(|| {
        format!(
            "\"{}\" directive invalid value: must be 'on' or 'off'",
            value.name
        )
    })
}

pub(super) fn between(value: &Value<'_>, least: u64, most: u64) -> Result<u64, String> {
    let number = units::number(value.first()).filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("\"{}\" must be between {least} and {most}", value.name))
}

/// Checks the value, which has no effect: the compressor manages its memory.
pub(super) fn memlevel(_scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    between(value, 1, 9).map(drop)
}

/// nchan itself rejects every value.
pub(super) fn strategy(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    match value.first() {
        b"default" => Ok(()),
        b"filtered" | b"huffman-only" | b"rle" | b"fixed" => ignored(scope, value),
        _ => Err(format!(
            "invalid compression strategy \"{}\"",
            value.shown()
        )),
    }
}
