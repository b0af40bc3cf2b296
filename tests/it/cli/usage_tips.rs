//! Suggestions for mistakes on the command line, and formats of numbers.

use super::fake::{Fake, ok, run, status};

#[test]
fn a_misspelt_command_gets_a_suggestion() {
    for (word, command) in [
        ("pbu", "pub"),
        ("stast", "stats"),
        ("bnech", "bench"),
        ("sbu", "sub"),
        ("chekc", "check"),
    ] {
        let outcome = run(&[word, "a"], b"");
        assert_eq!(outcome.code, 2);
        assert!(
            outcome.stderr.contains(&format!("'{command}'")),
            "{word}: {}",
            outcome.stderr
        );
    }
    let outcome = run(&["frobnicate"], b"");
    assert!(
        outcome.code == 2 && !outcome.stderr.contains("similar command"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_message_of_several_words_has_to_be_quoted() {
    for args in [
        &["pub", "ch1", "hello", "there"][..],
        &["pub", "ch1", "hello", "there", "world", "--json"],
    ] {
        let outcome = run(args, b"");
        assert_eq!(outcome.code, 2);
        assert!(
            outcome.stderr.contains("pushctl pub ch1 'hello there...'"),
            "{}",
            outcome.stderr
        );
    }
    let outcome = run(&["stats", "a", "b"], b"");
    assert!(
        outcome.code == 2 && !outcome.stderr.contains("quote"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn options_of_other_tools_get_a_suggestion() {
    for (args, tip) in [
        (&["tail", "a"][..], "use 'pushctl sub'"),
        (&["send", "a", "x"], "use 'pushctl pub'"),
        (&["delete", "a"], "use 'pushctl rm'"),
        (&["validate", "nginx.conf"], "use 'pushctl check'"),
        (&["version"], "use 'pushctl --version'"),
        (&["serve", "nginx.conf"], "use --nginx-conf nginx.conf"),
        (&["serve", "push.toml"], "use --config push.toml"),
        (&["serve", "--port", "80"], "use --listen ADDRESS:PORT"),
        (&["wait", "news"], "use --channel news"),
        (&["stats", "a", "b"], "name one channel"),
        (&["sub", "a", "--port", "80"], "use --url http://HOST:PORT"),
    ] {
        let outcome = run(args, b"");
        assert_eq!(outcome.code, 2, "{args:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(tip), "{args:?}: {}", outcome.stderr);
        assert!(
            !outcome.stderr.contains("--parent"),
            "it is hidden: {}",
            outcome.stderr
        );
    }
}

#[test]
fn a_negative_number_is_a_wrong_value() {
    for (args, option) in [
        (&["sub", "a", "-n", "-3"][..], "--count"),
        (&["sub", "a", "--retries", "-1"], "--retry"),
        (&["pub", "a", "x", "--repeat", "-2"], "--repeat"),
        (&["bench", "-n", "-1"], "--subscribers"),
        (&["stats", "--top", "-1"], "--top"),
    ] {
        let outcome = run(args, b"");
        assert_eq!(outcome.code, 2, "{args:?}");
        assert!(
            outcome.stderr.contains("invalid value '-") && outcome.stderr.contains(option),
            "{args:?}: {}",
            outcome.stderr
        );
        assert!(
            !outcome.stderr.contains("'-- -"),
            "{args:?}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn the_wrong_scheme_is_a_failed_connection_with_the_right_url() {
    let page = "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS \
                port</title></head>\r\n</html>\r\n";
    let response = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{page}",
        page.len()
    );
    let https = Fake::always(&response);
    for args in [
        &["pub", "a", "x"][..],
        &["stats"],
        &["rm", "a"],
        &["sub", "a", "-m", "ev"],
    ] {
        let outcome = https.run(args);
        assert_eq!(outcome.code, 3, "{args:?}: {}", outcome.stderr);
        assert!(
            outcome
                .stderr
                .contains(&format!("use --url {}", https.url.replace("http", "https"))),
            "{args:?}: {}",
            outcome.stderr
        );
        let http = Fake::always(&ok("", "{}"));
        let outcome = run(
            &[args, &["--url", &http.url.replace("http:", "https:")]].concat(),
            b"",
        );
        assert_eq!(outcome.code, 3, "{args:?}: {}", outcome.stderr);
        assert!(
            outcome.stderr.contains(&format!("use --url {}", http.url)),
            "{args:?}: {}",
            outcome.stderr
        );
    }
    let refused = Fake::always(&status("400 Bad Request", "Content-Type: text/html\r\n"));
    assert_eq!(refused.run(&["stats"]).code, 7);
}

#[test]
fn statistics_show_sizes_in_units_and_leave_zeros_out() {
    let details = "\"memory\": {\"limit\": 536870912, \"used\": 3584}, \"incoming\": {\"limit\": \
                   67108864, \"used\": 0}, \
                   \"refused_connections\": {\"memory\": 3, \"total\": 0}, \"panics\": 0, \
                   \"missed\": {\"live\": 0}";
    let body = format!(
        "{{\"hostname\": \"h\", \"time\": \"t\", \"channels\": 1, \"wildcard_channels\": 0, \
         \"published_messages\": 1, \"stored_messages\": 1, \
         \"messages_in_trash\": 0, \"channels_in_trash\": 0, \"subscribers\": 0, \"uptime\": 1, \
         \"by_worker\": [], {details}}}"
    );
    let outcome = Fake::always(&ok("", &body)).run(&["stats"]);
    for line in [
        "memory limit 512 MiB",
        "incoming limit 64 MiB",
        "memory used 3.50 KiB",
        "refused connections memory 3",
    ] {
        let is_there = outcome
            .stdout
            .lines()
            .any(|found| found.split_whitespace().collect::<Vec<_>>().join(" ") == line);
        assert!(is_there, "{line}:\n{}", outcome.stdout);
    }
    assert!(
        outcome
            .stdout
            .contains("4 other counters are 0 (--json shows them)\n"),
        "{}",
        outcome.stdout
    );
    assert!(!outcome.stdout.contains("panics"), "{}", outcome.stdout);
}

#[test]
fn a_text_that_begins_with_h_is_not_a_request_for_help() {
    let outcome = run(&["pub", "ch", "-hello"], b"");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""));
    assert!(
        outcome.stderr.contains("'-hello'") && outcome.stderr.contains("'-- -hello'"),
        "{}",
        outcome.stderr
    );
    for args in [&["pub", "ch", "-h"][..], &["pub", "--help", "-hello"]] {
        assert_eq!(run(args, b"").code, 0, "{args:?}");
    }
}

#[test]
fn a_memory_limit_without_unit_is_rejected_with_the_unit() {
    for option in ["--memory", "--connection-memory"] {
        let outcome = run(&["serve", option, "64"], b"");
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        assert!(
            outcome
                .stderr
                .contains("64 bytes is less than the minimum of 1m (write 64m for 64 MiB)"),
            "{}",
            outcome.stderr
        );
    }
}
