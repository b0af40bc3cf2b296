//! Blocks, directives and syntax errors.

use super::*;

fn parsed(text: &[u8]) -> (Block, SyntaxReport) {
    let mut syntax = SyntaxReport::new(|name| {
        ["server", "listen", "location", "worker_processes"].contains(&name)
    });
    let block = parse(text, 0, &mut Files::new("conf"), &mut syntax);
    (block, syntax)
}

#[test]
fn blocks_nest_and_know_their_lines() {
    let (file, syntax) = parsed(b"events {}\nhttp {\n a b\n c;\n server { d; }\n}\n");
    assert!(syntax.errors.is_empty(), "{syntax:?}");
    let [events, http] = file.directives.as_slice() else {
        panic!("two directives: {file:?}")
    };
    assert_eq!((events.name.as_str(), events.place.line), ("events", 1));
    let block = http.block.as_ref().expect("http has a block");
    assert_eq!((http.place.line, block.end.line), (2, 6));
    let lines: Vec<_> = block
        .directives
        .iter()
        .map(|inner| (inner.name.as_str(), inner.place.line, inner.arguments.len()))
        .collect();
    assert_eq!(lines, [("a", 4, 2), ("server", 5, 0)]);
}

#[test]
fn wrong_punctuation_is_rejected_in_the_words_of_nginx_with_a_hint() {
    for (text, line, expected) in [
        (
            "a {\n b\n}",
            3,
            "unexpected \"}\" (a \";\" is missing after \"b\" in line 2)",
        ),
        ("}", 1, "unexpected \"}\""),
        (";", 1, "unexpected \";\""),
        ("a {{", 1, "unexpected \"{\""),
        (
            "a {\n",
            2,
            "unexpected end of file, expecting \"}\" (the block of \"a\" in line 1 is not \
             closed)",
        ),
        (
            "a {\n b \"c;\n}\n",
            4,
            "unexpected end of file, expecting \";\" or \"}\" (the quote in line 2 is not \
             closed)",
        ),
        ("a \"b\"c;", 1, "unexpected \"c\""),
        (
            "a \"b;\nc \"d;",
            2,
            "unexpected \"d\" (the quote in line 1 is probably not closed)",
        ),
        (
            "http {\nserver\nlisten 80;\n}\n}",
            5,
            "unexpected \"}\" (\"server\" in line 2 has no \"{\")",
        ),
        (
            "a {\n b {\n  c;\n }\n }\n}",
            6,
            "unexpected \"}\" (the \"}\" in line 5 is probably one too many)",
        ),
        (
            "a {\n b {\n  c {\n  d;\n }\n}\n",
            7,
            "unexpected end of file, expecting \"}\" (the block of \"c\" in line 3 is probably \
             not closed)",
        ),
        (
            "http {\n\ninit_by_lua_block {\n x = '}'\n",
            3,
            "the block of \"init_by_lua_block\" has no closing \"}\"",
        ),
    ] {
        let [
            SyntaxError {
                place,
                text: found,
                hint,
            },
        ] = parsed(text.as_bytes())
            .1
            .errors
            .try_into()
            .expect("one error");
        let found = hint.map_or_else(|| found.clone(), |hint| format!("{found} ({hint})"));
        assert_eq!(
            (found.as_str(), place),
            (expected, SourcePlace { file: 0, line }),
            "{text}"
        );
    }
    let (_, syntax) = parsed("a {".repeat(MAX_DEPTH + 1).as_bytes());
    assert!(syntax.errors[0].text.contains("too many"));
}

#[test]
fn directives_before_a_syntax_error_are_read() {
    let (file, syntax) = parsed(b"a;\nb {\nc;\nd }\ne;");
    assert_eq!(syntax.errors.len(), 1);
    let [a, b] = file.directives.as_slice() else {
        panic!("two directives: {file:?}")
    };
    assert_eq!(
        (
            a.name.as_str(),
            b.block.as_ref().map(|block| block.directives.len())
        ),
        ("a", Some(1))
    );
}

#[test]
fn a_block_behind_a_missing_semicolon_is_read() {
    let (file, syntax) = parsed(b"http {\ngzip on\n\nserver {\nlisten 80;\n}\n}\n");
    let text = "directive \"gzip\" is not terminated by \";\"".to_owned();
    let hint = Some("a \";\" is missing after \"on\" in line 2".to_owned());
    assert_eq!(
        syntax.errors,
        [SyntaxError {
            place: SourcePlace { file: 0, line: 4 },
            text,
            hint
        }]
    );
    let http = file.directives[0].block.as_ref().expect("a block");
    let names: Vec<_> = http
        .directives
        .iter()
        .map(|inner| (inner.name.as_str(), inner.block.is_some()))
        .collect();
    assert_eq!(names, [("gzip", false), ("server", true)]);
}

#[test]
fn lua_blocks_keep_their_text_and_are_not_read() {
    let code = " local t = { '}' } -- }\n;";
    let (file, syntax) =
        parsed(format!("server {{ set_by_lua_block $x {{{code}}}\na; }}").as_bytes());
    assert!(syntax.errors.is_empty(), "{syntax:?}");
    let [lua, a] = file.directives[0]
        .block
        .as_ref()
        .expect("a block")
        .directives
        .as_slice()
    else {
        panic!("{file:?}")
    };
    assert_eq!(
        (lua.arguments.as_slice(), a.place.line),
        ([b"$x".to_vec()].as_slice(), 3)
    );
    assert_eq!(
        lua.block.as_ref().and_then(|block| block.lua.as_deref()),
        Some(code.as_bytes())
    );
}
