//! Commands of `pushctl` against nchan besides following: publishing, deleting, statistics,
//! profiles and `bench`.

use super::fake::{Outcome, run};
use super::nchan::{Sub, publish};
use super::nchan_server::Nchan;
use crate::support::Directory;
use crate::support::wait_until;
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn a_deleted_channel_ends_a_long_poll_and_backlogs_are_rejected() {
    let nchan = Nchan::start();
    let url = nchan.url();
    publish(&nchan, "ch1", "one");
    let sub = Sub::start(
        &url,
        &[
            "ch1",
            "--mode",
            "lp",
            "--dialect",
            "nchan",
            "--since",
            "all",
        ],
    );
    assert_eq!(sub.take(1, "lp"), ["one"]);
    wait_until("it waits again", || {
        run(
            &["stats", "ch1", "--assert", "subscribers=1", "--url", &url],
            b"",
        )
        .code
            == 0
    });
    assert_eq!(run(&["rm", "ch1", "--url", &url], b"").code, 0);
    assert_eq!(sub.end(), (Vec::new(), Some(11)));
    for args in [
        &["sub", "ch1", "--backlog", "3", "--dialect", "nchan"][..],
        &["sub", "ch1.b3", "--sub-path", "/sub/{channel}"],
    ] {
        let outcome = run(&[args, &["--url", &url]].concat(), b"");
        assert!(
            outcome.code == 2
                && outcome
                    .stderr
                    .contains("cannot start N messages back (use --since all"),
            "{outcome:?}"
        );
    }
}

fn answer(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"))
}

#[test]
fn publications_and_statistics_are_understood() {
    let nchan = Nchan::start();
    let url = nchan.url();
    for dialect in [&[][..], &["--dialect", "nchan"]] {
        let with = |args: &[&str]| run(&[args, dialect, &["--url", &url]].concat(), b"");
        let published = answer(&with(&["pub", "ch1", "hello", "--json"]));
        let keys = [
            "channel",
            "published_messages",
            "stored_messages",
            "subscribers",
        ];
        assert!(
            keys.iter().all(|key| published.get(key).is_some()),
            "{published}"
        );
        assert_eq!(
            (&published["channel"], &published["published_messages"]),
            (&json!("ch1"), &Value::Null)
        );
        let info = answer(&with(&["stats", "ch1", "--json"]));
        assert_eq!(
            (&info["stored_messages"], &info["last_message_id"]),
            (&published["stored_messages"], &published["last_message_id"])
        );
        assert_eq!(
            with(&["stats", "ch1", "--assert", "stored>=1,subscribers=0"]).code,
            0
        );
        let table = with(&["stats", "ch1"]).stdout;
        assert!(table.contains("ch1") && table.contains(" - "), "{table}");
        let summary = answer(&with(&["stats", "--json"]));
        assert!(
            summary["channels"] == 1 && summary["published_messages"].as_u64() >= Some(1),
            "{summary}"
        );
        assert_eq!(with(&["stats", "missing"]).code, 5);
        assert_eq!(
            with(&[
                "wait",
                "--channel",
                "ch1",
                "--stored",
                ">=1",
                "--timeout",
                "10s"
            ])
            .code,
            0
        );
        assert_eq!(
            with(&["pub", "ch1", "x", "--require-subscribers", "1"]).code,
            12
        );
        assert_eq!(with(&["rm", "missing"]).code, 5);
        assert_eq!(with(&["rm", "ch1"]).code, 0);
    }
    let many = run(
        &["pub", "ch2", "--lines", "--json", "--url", &url],
        b"a\nb\nc\n",
    );
    assert_eq!(many.code, 0, "{many:?}");
    assert_eq!(
        answer(&run(&["stats", "ch2", "--json", "--url", &url], b""))["stored_messages"],
        3
    );
    let refused = run(
        &[
            "pub",
            "ch1",
            "x",
            "--event-id",
            "1",
            "--dialect",
            "nchan",
            "--url",
            &url,
        ],
        b"",
    );
    assert_eq!(refused.code, 2, "{refused:?}");
}

#[test]
fn a_profile_names_the_dialect() {
    let nchan = Nchan::start();
    let directory = Directory::new("profile");
    let folder = directory.path();
    let file = folder.join("config.toml");
    let write = |dialect: &str| {
        let text = format!(
            "default = \"n\"\n[servers.n]\nurl = \"{}\"\ndialect = \"{dialect}\"\nmode = \"lp\"\n",
            nchan.url()
        );
        std::fs::write(&file, text).expect("a file");
    };
    let with = |args: &[&str], file: &Path| {
        run(
            &[args, &["--config-file", file.to_str().expect("UTF-8")]].concat(),
            b"",
        )
    };
    write("nchan");
    assert_eq!(with(&["pub", "ch1.b5", "hello"], &file).code, 0);
    assert_eq!(
        with(&["sub", "ch1.b5", "--since", "all", "--count", "1"], &file).stdout,
        "hello\n",
        "the name is a name"
    );
    write("nshan");
    let outcome = with(&["stats"], &file);
    assert!(
        outcome.code == 2
            && outcome
                .stderr
                .contains("unknown dialect 'nshan' (push-stream, nhpm or nchan)"),
        "{outcome:?}"
    );
}

#[test]
fn bench_measures_nchan_by_its_dialect() {
    let nchan = Nchan::start();
    let bench = |mode: &str| {
        let outcome = run(
            &[
                "bench",
                "--dialect",
                "nchan",
                "-n",
                "20",
                "--mode",
                mode,
                "--messages",
                "10",
                "--json",
                "--url",
                &nchan.url(),
            ],
            b"",
        );
        let report = answer(&outcome);
        (
            report["delivered"].clone(),
            report["lost"].clone(),
            report["duplicated"].clone(),
        )
    };
    for mode in ["ev", "ws"] {
        let (_, lost, duplicated) = bench(mode);
        assert_eq!((lost, duplicated), (json!(0), json!(0)), "{mode}");
    }
}
