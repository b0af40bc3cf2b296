//! Directives as text of an nginx.conf.

use crate::server::config::source::nginx::parser::Directive;

/// Text with indentation; bytes, as words of a configuration need not be UTF-8.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
}

impl Text {
    /// Writes a line at this depth of blocks.
    pub(super) fn line(&mut self, depth: usize, line: impl AsRef<[u8]>) {
        self.bytes.extend(std::iter::repeat_n(b' ', 4 * depth));
        self.bytes.extend_from_slice(line.as_ref());
        self.bytes.push(b'\n');
    }

    /// Writes a directive with its block.
    pub(super) fn directive(&mut self, depth: usize, directive: &Directive) {
        let mut line = head(directive);
        let Some(block) = &directive.block else {
            line.push(b';');
            self.line(depth, line);
            return;
        };
        line.extend_from_slice(b" {");
        if let Some(lua) = &block.lua {
            // Lua code is kept byte by byte.
            line.extend_from_slice(lua);
            line.push(b'}');
            self.line(depth, line);
            return;
        }
        self.line(depth, line);
        block
            .directives
            .iter()
            .for_each(|inner| self.directive(depth + 1, inner));
        self.line(depth, "}");
    }
}

/// The name and the arguments.
pub(super) fn head(directive: &Directive) -> Vec<u8> {
    let mut line = quoted(directive.name.as_bytes());
    for argument in &directive.arguments {
        line.push(b' ');
        line.extend(quoted(argument));
    }
    line
}

/// A word as nginx reads it back.
pub(super) fn quoted(word: &[u8]) -> Vec<u8> {
    let is_plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-*:^~=$@(),%+!|?".contains(byte);
    if !word.is_empty() && word.iter().all(is_plain) {
        return word.to_vec();
    }
    let mut out = vec![b'"'];
    for (at, byte) in word.iter().enumerate() {
        let next = word.get(at + 1);
        // nginx unescapes these only.
        let is_escape = *byte == b'\\' && next.is_none_or(|next| b"nrt\"'\\".contains(next));
        if *byte == b'"' || is_escape {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::source::nginx::files::Files;
    use crate::server::config::source::nginx::parser;
    use crate::server::config::source::nginx::parser::SyntaxReport;

    #[test]
    fn directives_are_read_back_as_they_were() {
        for text in [
            "a b c;",
            r#"a "b c" 'd"e' "\\n" \d+ "\t" "" "#,
            "location ~ \"^/sub/(\\w{1,9})$\" { deny all; if ($arg_a = \"\") { return 403; } }",
            "access_by_lua_block { if x then return { \"}\" } end -- }\n }",
            "log_format x '$a \"$b\"' \"\\\"\";",
        ] {
            let text = if text.ends_with(['}', ';']) {
                text.to_owned()
            } else {
                format!("{text};")
            };
            let read = |text: &[u8]| {
                parser::parse(
                    text,
                    0,
                    &mut Files::new("conf"),
                    &mut SyntaxReport::new(|_| false),
                )
            };
            let names = |block: &parser::Block| {
                format!("{:?}", block.directives).replace(char::is_numeric, "")
            };
            let before = read(text.as_bytes());
            let mut out = Text::default();
            before
                .directives
                .iter()
                .for_each(|directive| out.directive(0, directive));
            let after = read(&out.bytes);
            assert_eq!(
                names(&after),
                names(&before),
                "{text}\n{}",
                String::from_utf8_lossy(&out.bytes)
            );
        }
    }
}
