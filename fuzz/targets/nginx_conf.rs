//! Whole nginx.conf files. Fuzzing builds open no files and resolve no names.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use pushctl::server::config::source;
use pushctl::server::config::source::Diagnostic;
use pushctl::server::config::{Captures, RewriteFrame, Variables};

struct Request<'a>(&'a Captures);

impl Variables for Request<'_> {
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        (name.len() % 2 == 0).then_some(b"value")
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        (name.len() % 2 == 0).then_some(b"value")
    }
    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.0.get(number)
    }
    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.0.name(name)
    }
    fn builtin(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(b"/sub/x"))
    }
}

/// The result of a file, with lines counted from `first`.
fn outcome(text: &[u8], first: usize) -> (bool, Vec<Diagnostic>) {
    let (good, remarks) = match source::parse("file", text) {
        Ok(loaded) => {
            assert!(!loaded.config.listeners.is_empty());
            (true, loaded.notices)
        }
        Err(wrong) => {
            assert!(!wrong.mistakes.is_empty() && !wrong.to_string().is_empty());
            (
                false,
                wrong.mistakes.into_iter().chain(wrong.notices).collect(),
            )
        }
    };
    let shifted = |remark: Diagnostic| {
        let location = remark.location.map(|(file, line)| (file, line - first));
        Diagnostic {
            line: remark.line.saturating_sub(first),
            location,
            ..remark
        }
    };
    (good, remarks.into_iter().map(shifted).collect())
}

fuzz_target!(|data: &[u8]| {
    let lines = 1 + data.iter().filter(|byte| **byte == b'\n').count();
    let found = outcome(data, 0);
    for remark in &found.1 {
        assert!(remark.line <= lines && !remark.text.is_empty(), "{remark}");
    }
    if !data.starts_with(b"\xef\xbb\xbf") {
        assert_eq!(
            outcome(&[b"# comment\n", data].concat(), 1),
            found,
            "a comment in front moves all lines by one"
        );
    }
    let Ok(loaded) = source::parse("file", data) else {
        return;
    };
    for listener in &loaded.config.listeners {
        for host in ["", "localhost", "a.b.example"] {
            let server = listener.server("127.0.0.1", || host.to_owned());
            for path in ["/", "/pub", "/sub/a/b", "/ws/x.b5", "/a.html"] {
                let Some((location, captures)) = server.locate(path.as_bytes()) else {
                    continue;
                };
                let captures = captures.unwrap_or_default();
                let mut frame = RewriteFrame::new(captures.clone(), Vec::new());
                let choice = location.choose(&Request(&captures), &mut frame);
                for expression in [
                    &choice.settings.channels_path,
                    &choice.settings.allowed_origins,
                ]
                .into_iter()
                .flatten()
                {
                    let _ = expression.evaluate(&Request(&frame.captures));
                }
            }
        }
    }
});
