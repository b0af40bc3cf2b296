//! The progress bar of `pub`, as a terminal shows it.

use std::cell::RefCell;

use regex::Regex;

use super::terminal::Terminal;
use crate::support::Server;

#[test]
fn the_progress_bar_shows_the_measured_rate() {
    let server = Server::start(&[]);
    let args = [
        "pub",
        "c",
        "x",
        "--repeat",
        "900",
        "--rate",
        "300/s",
        "--url",
        server.url(),
    ];
    let terminal = Terminal::start(24, 120, &args, &[]);
    let line = Regex::new(r"([\d,]+) of 900 \(([^ ]+)/s, ([^)]+) left\)").expect("a pattern");
    let rates = RefCell::new(Vec::new());
    terminal.wait("the end of the bar", |screen| {
        let contents = screen.contents();
        let Some(found) = line.captures(&contents) else {
            return false;
        };
        rates.borrow_mut().push(found[2].to_owned());
        found[1]
            .parse::<u32>()
            .is_ok_and(|position| position >= 800)
    });
    // No more than 300 in a second are sent, so no measurement can be above.
    for rate in rates.into_inner() {
        let number: u32 = rate
            .parse()
            .unwrap_or_else(|_| panic!("no decimals where there are hundreds: {rate}"));
        assert!((1..=310).contains(&number), "{rate}");
    }
    assert_eq!(terminal.end().0, 0);
    server.stop();
}
