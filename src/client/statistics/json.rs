//! The JSON of statistics as text: repair, one line, selection of channels, and conversion of
//! nchan's `nchan_stub_status`. Does no I/O.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Returns the server's JSON on one line, or `None` if it is not JSON. The module breaks lines
/// between the objects of a list; everything else is unchanged, so that unknown fields are kept.
#[must_use]
pub fn one_line(body: &[u8]) -> Option<Vec<u8>> {
    Some(
        repaired(body)?
            .iter()
            .copied()
            .filter(|byte| !matches!(byte, b'\r' | b'\n'))
            .collect(),
    )
}

/// Returns a line of [`one_line`] with only the channels of these indices, in this order;
/// everything around the list is unchanged.
#[must_use]
pub fn with_channels(line: &[u8], numbers: &[usize]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Group<'a> {
        #[serde(borrow)]
        infos: Vec<&'a RawValue>,
    }
    let line = str::from_utf8(line).ok()?;
    let group: Group<'_> = serde_json::from_str(line).ok()?;
    let (Some(first), Some(last)) = (group.infos.first(), group.infos.last()) else {
        return Some(line.as_bytes().to_vec());
    };
    // The values are slices of the line, so their addresses are the start and end of the list.
    let start = first.get().as_ptr() as usize - line.as_ptr() as usize;
    let end = last.get().as_ptr() as usize - line.as_ptr() as usize + last.get().len();
    let kept: Vec<&str> = numbers
        .iter()
        .filter_map(|number| group.infos.get(*number).map(|info| info.get()))
        .collect();
    Some(
        [&line[..start], kept.join(",").as_str(), &line[end..]]
            .concat()
            .into_bytes(),
    )
}

/// Returns `body` as JSON. The module does not escape channel ids, so one id with special
/// characters breaks the statistics of all channels: then the text between `"channel": "` and the
/// counters is escaped.
pub(super) fn repaired(body: &[u8]) -> Option<Cow<'_, [u8]>> {
    static INFO: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r#"(?s)(\{\s*"channel"\s*:\s*)"(.*?)""#,
            r#"(\s*,\s*"published(?:_messages)?"\s*:\s*"?\d+"?\s*,\s*"stored(?:_messages)?"\s*:)"#
        ))
        .expect("the pattern is constant and valid")
    });
    // `IgnoredAny` does not check strings, so UTF-8 is validated separately.
    let is_json = |body: &[u8]| {
        std::str::from_utf8(body)
            .is_ok_and(|body| serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok())
    };
    if is_json(body) {
        return Some(Cow::Borrowed(body));
    }
    let text = String::from_utf8_lossy(body);
    if let Some(summary) = stub_status(&text) {
        return Some(Cow::Owned(summary));
    }
    let escaped = INFO.replace_all(&text, |info: &Captures<'_>| {
        format!("{}{}{}", &info[1], Value::from(&info[2]), &info[3])
    });
    let escaped = escaped.into_owned().into_bytes();
    is_json(&escaped).then_some(Cow::Owned(escaped))
}

/// Converts the text of `nchan_stub_status` (`key: value`, memory in KiB) to JSON with the module's
/// names.
pub(super) fn stub_status(text: &str) -> Option<Vec<u8>> {
    let mut summary = Map::new();
    for (key, value) in text
        .lines()
        .map(|line| line.split_once(':'))
        .collect::<Option<Vec<_>>>()?
    {
        let key = key.trim().replace(' ', "_");
        let value = value.trim();
        let (key, value) = match (key.as_str(), value.strip_suffix('K')) {
            ("nchan_version", _) => ("hostname".to_owned(), Value::from(format!("nchan {value}"))),
            ("total_published_messages", _) => (
                "published_messages".to_owned(),
                Value::Number(value.parse().ok()?),
            ),
            (_, Some(kibibytes)) => (
                format!("{key}_bytes"),
                Value::from(kibibytes.parse::<u64>().ok()? << 10),
            ),
            (_, None) => (key, Value::Number(value.parse().ok()?)),
        };
        summary.insert(key, value);
    }
    summary
        .contains_key("stored_messages")
        .then(|| Value::Object(summary).to_string().into_bytes())
}
