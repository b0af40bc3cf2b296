//! Validates JSONP callbacks: the browser executes what the `callback` argument names.

/// Maximum length of a callback, in bytes.
const MAX_CALLBACK_BYTES: usize = 256;

/// Whether a text is a JavaScript identifier in ASCII, or a path to a member such as `a.b[0].c`.
pub(in crate::server) fn is_member_path(text: &[u8]) -> bool {
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$');
    let is_identifier = |part: &[u8]| {
        part.first().is_some_and(|byte| is_start(*byte))
            && part
                .iter()
                .all(|byte| is_start(*byte) || byte.is_ascii_digit())
    };
    let is_member = |part: &[u8]| {
        let mut pieces = part.split(|byte| *byte == b'[');
        let is_index = |piece: &[u8]| {
            piece
                .strip_suffix(b"]")
                .is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        };
        pieces.next().is_some_and(is_identifier) && pieces.all(is_index)
    };
    text.len() <= MAX_CALLBACK_BYTES && text.split(|byte| *byte == b'.').all(is_member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_are_paths_to_members() {
        for callback in [
            "f",
            "cb_1",
            "$",
            "_",
            "jQuery.x1",
            "PushStreamManager[0].wrapper.cb",
            "a[0][12].b",
        ] {
            assert!(is_member_path(callback.as_bytes()), "{callback}");
        }
        let long = "a".repeat(MAX_CALLBACK_BYTES + 1);
        for callback in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "1a",
            "a b",
            "alert(1)//",
            "a;b",
            "a[",
            "a[]",
            "a[b]",
            "a[0",
            "a]0[",
            "a[0]b",
            "[0]",
            "a['b']",
            "a-b",
            "a\\u0062",
            "a\n",
            "\u{e9}",
            "a=b",
            "/**/a",
            "<a",
            &long,
        ] {
            assert!(!is_member_path(callback.as_bytes()), "{callback}");
        }
    }
}
