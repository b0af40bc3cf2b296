//! `pushctl bench` with several processes, warm-up, connection rates and local addresses.

use super::bench::{Fault, bench, broker};
use super::fake::{Fake, refused, run};
use super::resume::Server;
use serde_json::Value;

#[test]
fn several_processes_add_up_to_one() {
    for (fault, faults, code) in [
        (Fault::None, [0, 0, 0], 0),
        (Fault::Lose(4), [1, 0, 0], 8),
        (Fault::Repeat(4), [0, 1, 0], 8),
        (Fault::Delay(4), [0, 0, 1], 8),
    ] {
        let args = [
            "bench",
            "-n",
            "7",
            "--messages",
            "10",
            "--json",
            "--processes",
            "3",
            "--timeout",
            "5s",
            "--warm-up",
            "1ms",
        ];
        let fake = broker(fault);
        let outcome = fake.run(&args);
        let report: Value = serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
        assert_eq!(
            [&report["lost"], &report["duplicated"], &report["reordered"]],
            faults
        );
        assert_eq!(
            (outcome.code, &report["processes"], &report["expected"]),
            (code, &3.into(), &70.into()),
            "{}",
            outcome.stderr
        );
        let counted: u64 = report["histogram"]
            .as_array()
            .expect("bars")
            .iter()
            .filter_map(|bar| bar["count"].as_u64())
            .sum();
        let in_time: u64 = report["timeline"]["delivered"]
            .as_array()
            .expect("steps")
            .iter()
            .filter_map(Value::as_u64)
            .sum();
        assert_eq!(
            in_time,
            report["delivered"].as_u64().expect("a number"),
            "each delivery is in one step of time"
        );
        assert!(counted >= in_time, "{report}");
    }
}

#[test]
fn several_processes_find_no_fault_in_our_own_server() {
    let server = Server::start();
    let args = [
        "bench",
        "--url",
        &server.address,
        "-n",
        "90",
        "--channels",
        "4",
        "--messages",
        "25",
        "--processes",
        "3",
        "--json",
    ];
    let outcome = run(&args, b"");
    let report: Value = serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    for (key, value) in [
        ("published", 100),
        ("expected", 2250),
        ("delivered", 2250),
        ("lost", 0),
        ("disconnected", 0),
        ("processes", 3),
    ] {
        assert_eq!(report[key], value, "{key}");
    }
}

#[test]
fn a_worker_that_cannot_connect_reports_the_reason() {
    let fake = Fake::always(&refused(
        "403 Forbidden",
        "Subscribers limit per channel has been exceeded.",
    ));
    let outcome = fake.run(&["bench", "-n", "4", "--processes", "2"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (4, ""));
    assert!(
        outcome
            .stderr
            .ends_with("returned 403 Forbidden: subscribers limit per channel has been exceeded\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_warm_up_is_counted_but_not_measured() {
    let (outcome, report) = bench(Fault::None, &["--warm-up", "50ms", "--rate", "100"]);
    assert_eq!(
        (
            outcome.code,
            &report["published"],
            &report["delivered"],
            &report["lost"]
        ),
        (0, &10.into(), &30.into(), &0.into())
    );
    let warmed = report["warm_up_published"].as_u64().expect("a number");
    assert!((1..=5).contains(&warmed), "{warmed}");
    let (outcome, report) = bench(
        Fault::Lose(1),
        &["--warm-up", "50ms", "--rate", "100", "--timeout", "1s"],
    );
    assert_eq!(
        (outcome.code, &report["delivered"], &report["lost"]),
        (8, &30.into(), &1.into()),
        "lost in the warm-up"
    );
}

#[test]
fn connections_open_at_once_or_at_a_rate() {
    for args in [&["--storm"][..], &["--connect-rate", "500"]] {
        let (outcome, report) = bench(Fault::None, args);
        assert_eq!(
            (outcome.code, &report["storm"]),
            (0, &(args.len() == 1).into())
        );
        assert!(report["connect_ms"]["max"].as_f64() > Some(0.0), "{report}");
    }
    assert_eq!(
        run(&["bench", "--storm", "--connect-rate", "5"], b"").code,
        2
    );
}

#[test]
fn connections_take_the_addresses_of_bind_in_turn() {
    // Each address has ports for half of the subscribers; statistics and publishers use 127.0.0.1.
    let server = crate::support::Server::start(&["--max-connections-per-address", "4"]);
    for addresses in [["127.0.0.2", "127.0.0.3"], ["127.0.0.4", "127.0.0.5"]] {
        let [first, second] = addresses;
        let outcome = run(
            &[
                "bench",
                "--url",
                server.url(),
                "-n",
                "8",
                "--messages",
                "5",
                "--processes",
                "1",
                "--bind",
                first,
                "--bind",
                second,
            ],
            b"",
        );
        assert_eq!(outcome.code, 0, "{outcome:?}");
    }
    server.stop();
}

#[test]
fn too_few_local_addresses_are_reported_at_the_start() {
    let server = crate::support::Server::start(&[]);
    let bind = ["--bind", "127.0.0.2", "--bind", "127.0.0.3"];
    let outcome = run(
        &[
            &[
                "bench",
                "--url",
                server.url(),
                "-n",
                "140000",
                "--processes",
                "1",
            ][..],
            &bind,
        ]
        .concat(),
        b"",
    );
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("more ports than 2 local addresses have"),
        "{outcome:?}"
    );
    server.stop();
}
