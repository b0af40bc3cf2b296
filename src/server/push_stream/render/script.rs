//! Renders messages as script elements of an HTML page, for the iframe of the module's JavaScript
//! client.
//!
//! Texts and channel ids come from publishers. They are escaped for the JavaScript string and for
//! the surrounding HTML: the page receives exactly the text, and never executes it.

use std::io::Write;

use super::MessageView;

/// Appends `<script>p(ID,'CHANNEL','TEXT');</script>`.
pub(in crate::server) fn push(view: &MessageView<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    drop(write!(out, "<script>p({},'", view.id));
    push_string(view.channel, out);
    out.extend_from_slice(b"','");
    push_string(view.text, out);
    out.extend_from_slice(b"');</script>");
}

/// Appends the content of a string in single quotes. Bytes that are not UTF-8 become U+FFFD, as
/// browsers decode them.
fn push_string(bytes: &[u8], out: &mut Vec<u8>) {
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '\\' => out.extend_from_slice(b"\\\\"),
            '\'' => out.extend_from_slice(b"\\'"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            // `</script` and `<!--` are special to the HTML parser, which also turns NUL into
            // U+FFFD. In older engines the line separators of Unicode end a string.
            '<' | '>' | '\0'..=' ' | '\u{7f}' | '\u{2028}' | '\u{2029}' if character != ' ' => {
                drop(write!(out, "\\u{:04x}", u32::from(character)));
            }
            character => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(channel: &[u8], text: &[u8]) -> String {
        let mut out = Vec::new();
        push(&MessageView::special(7, channel, text), &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn ordinary_texts_stay_as_they_are() {
        assert_eq!(
            call(b"ch1", "hello wörld \u{1f600} \"x\"".as_bytes()),
            "<script>p(7,'ch1','hello wörld \u{1f600} \"x\"');</script>"
        );
    }

    #[test]
    fn nothing_ends_the_string_or_the_element() {
        let text =
            "</script><script>alert(1)</script><!-- --> &lt;'\\\r\n\t\0\u{7f}\u{2028}\u{2029}";
        let expected = "\\u003c/script\\u003e\\u003cscript\\u003ealert(1)\\u003c/\
                        script\\u003e\\u003c!-- --\\u003e \
                        &lt;\\'\\\\\\r\\n\\u0009\\u0000\\u007f\\u2028\\u2029";
        assert_eq!(
            call(text.as_bytes(), text.as_bytes()),
            format!("<script>p(7,'{expected}','{expected}');</script>")
        );
        assert_eq!(
            call(b"a", b"\xc3'\xff"),
            "<script>p(7,'a','\u{fffd}\\'\u{fffd}');</script>"
        );
    }
}
