//! Finds the end of a block of Lua code as lua-nginx-module does: the `}` that balances its `{`,
//! except those in strings, comments and long brackets (Lua 5.1 reference manual, section 2.1).
//!
//! The code itself is not interpreted.

/// Whether a directive of this name has Lua code between its braces.
pub(super) fn has_lua_block(name: &str) -> bool {
    name.ends_with("_by_lua_block")
}

/// Length of the code at the start of `text` up to its closing `}`; `None` if it is not closed.
pub(super) fn block_length(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        at += match text.get(at)? {
            b'}' if depth == 0 => return Some(at),
            b'}' => {
                depth -= 1;
                1
            }
            b'{' => {
                depth += 1;
                1
            }
            quote @ (b'"' | b'\'') => string_length(&text[at..], *quote)?,
            b'-' if text[at..].starts_with(b"--") => comment_length(&text[at..])?,
            b'[' => long_bracket_length(&text[at..])?.unwrap_or(1),
            _ => 1,
        };
    }
}

/// Length of a string with its quotes; a backslash escapes the next byte.
fn string_length(text: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            byte if *byte == quote => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Length of a comment: a long bracket, or the rest of the line.
fn comment_length(text: &[u8]) -> Option<usize> {
    match long_bracket_length(&text[2..])? {
        Some(length) => Some(2 + length),
        None => Some(memchr::memchr(b'\n', text).unwrap_or(text.len())),
    }
}

/// Length of the `[==[ ]==]` at the start of `text`; `Some(None)` if there is none, `None` if it is
/// not closed.
fn long_bracket_length(text: &[u8]) -> Option<Option<usize>> {
    let level = text
        .iter()
        .skip(1)
        .take_while(|byte| **byte == b'=')
        .count();
    if text.first() != Some(&b'[') || text.get(1 + level) != Some(&b'[') {
        return Some(None);
    }
    let mut end = text[1..=level].to_vec();
    end.insert(0, b']');
    end.push(b']');
    let start = level + 2;
    memchr::memmem::find(&text[start..], &end).map(|length| Some(start + length + end.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_at_the_brace_that_balances_theirs() {
        for code in [
            "",
            " require 'resty.core' ",
            " local t = { a = { 1 }, b = {} } ",
            r#" ngx.say("}", '}', "\"}", '\'}', "\\") "#,
            " -- it's a comment }\n x() ",
            " --[[ } \n } ]] x() ",
            " --[==[ } ]] } ]==] x() ",
            " local s = [[ } \" ]] ",
            " local s = [==[ ]] } ]=] } ]==] ",
            " a[b[1]] = c[ [[}]] ] ",
            " a = b - -c --",
        ] {
            // Without a line feed the brace would belong to the last comment.
            let text = format!("{code}\n}} rest }}");
            assert_eq!(
                block_length(text.as_bytes()),
                Some(code.len() + 1),
                "{code}"
            );
        }
    }

    #[test]
    fn blocks_without_an_end_are_open() {
        for code in [
            "",
            "{}",
            " { ",
            " \"}",
            " '}\\",
            " --}",
            " [[ } ",
            " --[[ } ]=] }",
            " [=[ } ]] }",
            "[",
        ] {
            assert_eq!(block_length(code.as_bytes()), None, "{code}");
        }
    }
}
