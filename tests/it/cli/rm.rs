//! `pushctl rm` from outside.

use super::fake::{Fake, Reply, ok, refused, status};
use crate::support::Server;

#[test]
fn rm_deletes_each_channel_and_reports_missing_ones() {
    let fake = Fake::start(|request, _| {
        Reply::Send(if request.line.ends_with("=b") {
            status("404 Not Found", "")
        } else {
            refused("200 OK", "Channel deleted.")
        })
    });
    let outcome = fake.run(&["rm", "a/b", "c", "--farewell", "bye"]);
    let expected = (
        5,
        "deleted a\ndeleted c\n",
        "pushctl: channel 'b' does not exist\n",
    );
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        expected
    );
    let seen: Vec<_> = fake
        .requests()
        .into_iter()
        .map(|request| (request.line, request.body))
        .collect();
    let expected = ["a", "b", "c"].map(|id| (format!("DELETE /pub?id={id}"), b"bye".to_vec()));
    assert_eq!(seen, expected);

    let outcome = fake.run(&["rm", "a", "b", "--missing-ok", "--json"]);
    let expected = (
        0,
        "{\"channel\":\"a\",\"deleted\":true}\n{\"channel\":\"b\",\"deleted\":false}\n",
        "",
    );
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        expected
    );
}

#[test]
fn a_wrong_name_deletes_nothing() {
    let fake = Fake::always(&ok("", ""));
    assert_eq!(fake.run(&["rm", "a", "b?"]).code, 2);
    assert!(fake.requests().is_empty());
}

#[test]
fn a_location_without_deletion_is_reported_with_a_remedy() {
    let fake = Fake::always(&status("405 Not Allowed", ""));
    let outcome = fake.run(&["rm", "a"]);
    assert_eq!(outcome.code, 7);
    assert!(
        outcome.stderr.contains("must be 'admin' there"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn subscribers_of_a_deleted_channel_get_the_deletion_message() {
    let server = Server::start(&[]);
    let mut stream = server.follow("/sub/a", &[]);
    let outcome = super::fake::run(
        &["rm", "--url", server.url(), "a", "--farewell", "goodbye"],
        b"",
    );
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "deleted a\n"),
        "{}",
        outcome.stderr
    );
    assert_eq!(stream.next_line().expect("a message").text, "goodbye");
    server.stop();
}
