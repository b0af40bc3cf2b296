//! Escapes channel ids in info bodies.
//!
//! The module writes ids unescaped, so that an id with a quote or a line feed forges fields. Here
//! an id is escaped if its notation could not hold it unchanged.

use super::render::json;

/// Appends an id to a JSON string, whose quotes the caller writes.
pub(super) fn push_json(id: &[u8], out: &mut Vec<u8>) {
    if is_plain(id) {
        return out.extend_from_slice(id);
    }
    let begin = out.len();
    json::push_string(&String::from_utf8_lossy(id), out);
    out.remove(begin);
    out.pop();
}

/// Appends an id as the text of an XML element.
pub(super) fn push_xml(id: &[u8], out: &mut Vec<u8>) {
    if is_plain(id) {
        return out.extend_from_slice(id);
    }
    let text = String::from_utf8_lossy(id)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    out.extend_from_slice(replace_controls(&text).as_bytes());
}

/// Appends an id as a YAML scalar, quoted if it could not be read back otherwise.
pub(super) fn push_yaml(id: &[u8], out: &mut Vec<u8>) {
    if is_yaml_scalar(id) {
        return out.extend_from_slice(id);
    }
    json::push_string(&String::from_utf8_lossy(id), out);
}

/// Appends an id to a line of text.
pub(super) fn push_text(id: &[u8], out: &mut Vec<u8>) {
    if id.iter().any(u8::is_ascii_control) {
        out.extend_from_slice(replace_controls(&String::from_utf8_lossy(id)).as_bytes());
    } else {
        out.extend_from_slice(id);
    }
}

/// Replaces control characters, which XML does not allow either: the text stays on one line.
fn replace_controls(text: &str) -> String {
    text.chars()
        .map(|char| {
            if char.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                char
            }
        })
        .collect()
}

/// Whether YAML accepts the id as a plain scalar (YAML 1.2, section 7.3.3). An id that reads as a
/// number stays unquoted.
fn is_yaml_scalar(id: &[u8]) -> bool {
    let contains = |needle: &[u8]| memchr::memmem::find(id, needle).is_some();
    let is_indicator = |byte: &u8| b"!&*?{}[],|>@`\"'%#:".contains(byte);
    // Special in YAML 1.1, which many libraries still implement.
    let is_old_tag = matches!(id, b"=" | b"<<");
    let is_open = is_old_tag
        || id.is_empty()
        || id.first().is_some_and(is_indicator)
        || id.starts_with(b"- ")
        || id == b"-"
        || id.starts_with(b"---");
    let has_structure = contains(b": ")
        || contains(b" #")
        || id.ends_with(b":")
        || id.starts_with(b" ")
        || id.ends_with(b" ");
    std::str::from_utf8(id).is_ok_and(|text| !text.chars().any(char::is_control))
        && !is_open
        && !has_structure
}

/// Whether JSON and XML hold the id without escapes.
fn is_plain(id: &[u8]) -> bool {
    id.iter().all(|byte| {
        (b' '..0x7f).contains(byte) && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_escaped_only_where_they_have_to_be() {
        let escaped = |push: fn(&[u8], &mut Vec<u8>), id: &str| {
            let mut out = Vec::new();
            push(id.as_bytes(), &mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        for (id, json, xml, yaml, plain) in [
            ("=", "=", "=", "\"=\"", "="),
            ("<<", "<<", "&lt;&lt;", "\"<<\"", "<<"),
            ("news.1", "news.1", "news.1", "news.1", "news.1"),
            ("h\u{e9}", "h\u{e9}", "h\u{e9}", "h\u{e9}", "h\u{e9}"),
            ("a\"b\\c", "a\\\"b\\\\c", "a\"b\\c", "a\"b\\c", "a\"b\\c"),
            ("<x>&", "<x>&", "&lt;x&gt;&amp;", "<x>&", "<x>&"),
            (
                "a\nb: 1",
                "a\\nb: 1",
                "a\u{fffd}b: 1",
                "\"a\\nb: 1\"",
                "a\u{fffd}b: 1",
            ),
            ("x: y", "x: y", "x: y", "\"x: y\"", "x: y"),
            ("{a", "{a", "{a", "\"{a\"", "{a"),
            ("a #b", "a #b", "a #b", "\"a #b\"", "a #b"),
        ] {
            let found = [push_json, push_xml, push_yaml, push_text].map(|push| escaped(push, id));
            assert_eq!(found, [json, xml, yaml, plain], "{id:?}");
        }
    }
}
