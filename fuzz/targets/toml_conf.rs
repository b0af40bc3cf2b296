//! Whole configurations in TOML. Fuzzing builds open no files and resolve no names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pushctl::server::config::source;
use pushctl::server::config::source::Diagnostic;

/// Whether a file is accepted, and all its diagnostics.
fn outcome(text: &[u8]) -> (bool, Vec<Diagnostic>) {
    match source::parse("file.toml", text) {
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
    }
}

fuzz_target!(|data: &[u8]| {
    let lines = 1 + data.iter().filter(|byte| **byte == b'\n').count();
    let (is_accepted, remarks) = outcome(data);
    for remark in &remarks {
        assert!(remark.line <= lines && !remark.text.is_empty(), "{remark}");
    }
    // The same bytes as nginx.conf: an accepted file has the same result in TOML, unless TOML
    // cannot represent it.
    if let (Ok(loaded), Ok(toml)) = (source::parse("file", data), source::to_toml("file", data)) {
        let again = source::parse("file.toml", toml.as_bytes());
        let again = again.unwrap_or_else(|mistakes| panic!("{mistakes}\n{toml}"));
        assert_eq!(
            again.config.listeners.len(),
            loaded.config.listeners.len(),
            "{toml}"
        );
        for (one, other) in again.config.listeners.iter().zip(&loaded.config.listeners) {
            assert_eq!(one.address, other.address, "{toml}");
            assert_eq!(one.servers.len(), other.servers.len(), "{toml}");
            for (one, other) in one.servers.iter().zip(other.servers.iter()) {
                assert_eq!(format!("{one:?}"), format!("{other:?}"), "{toml}");
            }
        }
        assert_eq!(
            format!("{:?}", again.config.broker),
            format!("{:?}", loaded.config.broker),
            "{toml}"
        );
    }
    if is_accepted {
        // A leading comment changes nothing.
        assert!(outcome(&[b"# comment\n", data].concat()).0);
    }
});
