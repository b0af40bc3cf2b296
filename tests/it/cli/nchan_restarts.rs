//! `pushctl sub` across restarts and reloads of nchan.

use super::fake::run;
use super::nchan::{MODES, Sub, next_second, publish, publish_all, texts};
use super::nchan_server::Nchan;
use crate::support::wait_until;

/// A reload of nchan discards its messages, too. Each mode has its own channel: several subscribers
/// that resume on one empty channel crash nchan, which another test covers.
fn check_lost_messages(how: impl Fn(&mut Nchan)) {
    let mut nchan = Nchan::start();
    let name = |number: usize| format!("ch{number}");
    let subs: Vec<Sub> = (0..MODES.len())
        .map(|number| {
            publish_all(&nchan, &name(number), &texts(1, 3));
            let (mode, path) = MODES[number];
            Sub::start(
                &nchan.url(),
                &[
                    &name(number),
                    "--mode",
                    mode,
                    "--sub-path",
                    path,
                    "--since",
                    "all",
                    "--count",
                    "5",
                ],
            )
        })
        .collect();
    for (sub, (_, path)) in subs.iter().zip(MODES) {
        assert_eq!(sub.take(3, path), texts(1, 3), "{path}");
    }
    publish(&nchan, "mark", "x");
    how(&mut nchan);
    // It restarts its count within a second at 0, so those of the previous second would be old
    // ones.
    next_second();
    wait_until("the new process answers", || {
        run(&["stats", "mark", "--url", &nchan.url()], b"").code == 5
    });
    for number in 0..MODES.len() {
        publish_all(&nchan, &name(number), &texts(4, 5));
    }
    for (sub, mode) in subs.into_iter().zip(MODES) {
        assert_eq!(sub.end(), (texts(4, 5), Some(0)), "{mode:?}");
    }
}

#[test]
fn a_restarted_server_is_followed_on() {
    check_lost_messages(Nchan::restart);
}

#[test]
fn a_reloaded_server_is_followed_on() {
    check_lost_messages(|nchan| nchan.reload());
}

#[test]
fn subscribers_survive_a_crash_of_nchan_on_an_empty_channel() {
    let mut nchan = Nchan::start();
    publish(&nchan, "ch1", "one");
    let subs: Vec<Sub> = ["ev", "ws", "lp"]
        .iter()
        .map(|mode| {
            Sub::start(
                &nchan.url(),
                &[
                    "ch1",
                    "--mode",
                    mode,
                    "--dialect",
                    "nchan",
                    "--since",
                    "all",
                    "--count",
                    "2",
                ],
            )
        })
        .collect();
    for sub in &subs {
        assert_eq!(sub.take(1, "first"), ["one"]);
    }
    nchan.restart();
    next_second();
    wait_until("all wait again", || {
        run(
            &[
                "stats",
                "ch1",
                "--assert",
                "subscribers=3",
                "--url",
                &nchan.url(),
            ],
            b"",
        )
        .code
            == 0
    });
    publish(&nchan, "ch1", "two");
    for sub in subs {
        assert_eq!(sub.end(), (vec!["two".to_owned()], Some(0)));
    }
}
