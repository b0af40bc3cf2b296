//! Conversion of the channel info of NHPM and nchan to the JSON of push-stream, so that callers
//! handle one format.
//!
//! These servers have four formats, selected by `Accept`: plain text, JSON, XML and YAML
//! (nhpm-nchan.md, sections 1.4 and 2.4). The info contains neither the number of published
//! messages nor the channel id, which the caller passes. Does no I/O.

use serde_json::{Map, Value};

/// Converts a channel info to `{"channel": …, "published_messages": null, "stored_messages": …,
/// "subscribers": …}`, followed by its other fields. Returns `None` if `body` is not a channel
/// info.
#[must_use]
pub fn to_push_stream(body: &[u8], channel: &str) -> Option<Vec<u8>> {
    let fields = fields(body)?;
    let number = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| value.parse::<u64>().ok())
    };
    let mut info = Map::new();
    info.insert("channel".to_owned(), channel.into());
    info.insert("published_messages".to_owned(), Value::Null);
    info.insert("stored_messages".to_owned(), number("messages")?.into());
    info.insert("subscribers".to_owned(), number("subscribers")?.into());
    for (name, value) in fields
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "requested" | "last_message_id"))
    {
        let value = value
            .parse::<i64>()
            .map_or_else(|_| Value::from(value.as_str()), Value::from);
        info.insert(name.clone(), value);
    }
    Some(Value::Object(info).to_string().into_bytes())
}

/// Parses names and values; returns the names of the JSON format.
fn fields(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?.trim();
    if let Ok(Value::Object(object)) = serde_json::from_str(text) {
        let plain = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        return object.contains_key("messages").then(|| {
            object
                .iter()
                .map(|(name, value)| (name.clone(), plain(value)))
                .collect()
        });
    }
    let pairs: Option<Vec<(String, String)>> = if text.starts_with("<?xml") {
        xml(text)
    } else {
        lines(text)
    };
    pairs.filter(|pairs| pairs.iter().any(|(name, _)| name == "messages"))
}

/// Parses `<name>value</name>`, one per line, inside one element.
fn xml(text: &str) -> Option<Vec<(String, String)>> {
    let element = |line: &str| {
        let (name, rest) = line.trim().strip_prefix('<')?.split_once('>')?;
        let value = rest.strip_suffix(&format!("</{name}>"))?;
        Some((name.to_owned(), value.to_owned()))
    };
    text.contains("<channel>")
        .then(|| text.lines().filter_map(element).collect())
}

/// Parses `name: value`, one per line: plain text or YAML.
fn lines(text: &str) -> Option<Vec<(String, String)>> {
    let named = |name: &str| {
        match name {
            "queued messages" => "messages",
            "last requested" => "requested",
            "active subscribers" => "subscribers",
            "last message id" => "last_message_id",
            other => other,
        }
        .to_owned()
    };
    let value = |value: &str| {
        value
            .split(" sec. ago")
            .next()
            .unwrap_or_default()
            .trim()
            .trim_matches('"')
            .to_owned()
    };
    let content = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && *line != "---");
    content
        .map(|line| {
            line.split_once(": ")
                .map(|(name, rest)| (named(name), value(rest)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_both_servers_are_read() {
        let nchan = concat!(
            r#"{"channel":"a","last_message_id":"1795261857:2","published_messages":null,"#,
            r#""requested":0,"stored_messages":3,"subscribers":1}"#
        );
        let nhpm = concat!(
            r#"{"channel":"a","published_messages":null,"requested":-1,"#,
            r#""stored_messages":3,"subscribers":1}"#
        );
        for (body, expected) in [
            (
                "queued messages: 3\r\nlast requested: 0 sec. ago\r\nactive subscribers: 1\r\n\
                 last message id: 1795261857:2",
                nchan,
            ),
            (
                concat!(
                    r#"{"messages": 3, "requested": 0, "subscribers": 1, "#,
                    r#""last_message_id": "1795261857:2" }"#
                ),
                nchan,
            ),
            (
                "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n\
                 <channel>\r\n  <messages>3</messages>\r\n  <requested>0</requested>\r\n  \
                 <subscribers>1</subscribers>\r\n  \
                 <last_message_id>1795261857:2</last_message_id>\r\n</channel>",
                nchan,
            ),
            (
                "---\r\nmessages: 3\r\nrequested: 0\r\nsubscribers: 1\r\n\
                 last_message_id: \"1795261857:2\"\r\n\r\n",
                nchan,
            ),
            (
                "queued messages: 3\r\nlast requested: -1 sec. ago (-1=never)\r\n\
                 active subscribers: 1",
                nhpm,
            ),
            (
                r#"{"messages": 3, "requested": -1, "subscribers": 1 }"#,
                nhpm,
            ),
        ] {
            let found = to_push_stream(body.as_bytes(), "a")
                .map(|json| serde_json::from_slice::<Value>(&json).expect("JSON"));
            assert_eq!(found, serde_json::from_str(expected).ok(), "{body}");
        }
        for body in [
            "",
            "hello",
            "<html>",
            "{}",
            r#"{"channel": "a", "stored_messages": 1}"#,
            "a: b",
        ] {
            assert_eq!(to_push_stream(body.as_bytes(), "a"), None, "{body}");
        }
    }
}
