//! Statistics of servers, and values of users on the command line.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use pushctl::client::Endpoints;
use pushctl::client::mode::Mode;
use pushctl::client::statistics::{Report, one_line};
use pushctl::client::transport::http;
use pushctl::cmd::args;

fuzz_target!(|data: &[u8]| {
    let report = Report::from_json(data);
    match one_line(data) {
        Some(line) => {
            assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n')));
            assert!(std::str::from_utf8(&line).is_ok());
            assert_eq!(
                one_line(&line).as_ref(),
                Some(&line),
                "it is JSON, and stays as it is"
            );
            assert_eq!(
                Report::from_json(&line),
                report,
                "a report on one line is the same"
            );
        }
        None => assert_eq!(report, None),
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(duration) = args::duration(text) {
        let again =
            args::duration(&pushctl_fuzz::shown(duration)).expect("a duration that we wrote");
        assert_eq!(again, duration);
        assert_eq!(
            args::interval(text).is_ok(),
            duration >= Duration::from_millis(100)
        );
    }
    let _ = args::since(text, 1_700_000_000);
    if let Ok((name, value)) = http::parse_header(text) {
        assert!(
            !name.as_str().is_empty()
                && !value
                    .as_bytes()
                    .iter()
                    .any(|byte| matches!(byte, b'\r' | b'\n' | 0))
        );
    }
    endpoints(text);
});

fn endpoints(text: &str) {
    let (first, second) = text.split_once('\n').unwrap_or((text, "a"));
    let Ok(endpoints) = Endpoints::new(first, None, Some(second), None) else {
        return;
    };
    let _ = (
        endpoints.base(),
        endpoints.publish(second),
        endpoints.statistics(Some(second)),
    );
    if let Ok(url) = Endpoints::new("localhost", None, None, None)
        .expect("a good url")
        .publish(second)
    {
        assert_eq!(
            (url.host_str(), url.path()),
            (Some("localhost"), "/pub"),
            "an id stays in its place"
        );
    }
    for mode in [Mode::Lp, Mode::Ws] {
        if let Ok(url) = endpoints.subscribe(mode, second) {
            assert!(url.has_host());
        }
    }
}
