//! `pushctl stats --watch` on a real terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;

use super::fake::{Fake, Reply, ok, status};
use super::terminal::Terminal;

/// A server with 40 channels; channel `n` has `n` subscribers. It responds with 502 while `fails`
/// is not 0.
fn server(fails: &Arc<AtomicU64>) -> Fake {
    let fails = Arc::clone(fails);
    Fake::start(move |request, number| {
        if fails.load(Ordering::SeqCst) > 0 {
            return Reply::Send(status("502 Bad Gateway", ""));
        }
        if request.line == "GET /channels-stats" {
            let published = number * 10;
            return Reply::Send(ok(
                "",
                &format!(
                    "{{\"hostname\": \"testhost\", \"time\": \"t\", \"channels\": 40, \
                     \"wildcard_channels\": 0, \"published_messages\": {published}, \
                     \"stored_messages\": 2000, \"messages_in_trash\": 0, \"channels_in_delete\": \
                     0, \"channels_in_trash\": 0, \"subscribers\": 820, \"uptime\": 61, \
                     \"memory_used\": 1048576, \"memory_limit\": 4194304, \"messages_missed\": \
                     1234, \"by_worker\": [{{\"pid\": \"77\", \"subscribers\": 820, \"uptime\": \
                     61}}]}}"
                ),
            ));
        }
        let name = |n: usize| match n {
            40 => "\\u001b[2J\\u202eevil".to_owned(),
            39 => "日本語".to_owned(),
            38 => "x".repeat(200),
            n => format!("channel-{n:02}"),
        };
        let info = |n: usize| {
            format!(
                "{{\"channel\": \"{}\", \"published_messages\": 1000, \"stored_messages\": 50, \
                 \"subscribers\": {n}}}",
                name(n)
            )
        };
        let infos: Vec<_> = (1..=40).map(info).collect();
        Reply::Send(ok(
            "",
            &format!("{{\"hostname\": \"h\", \"infos\": [{}]}}", infos.join(",")),
        ))
    })
}

fn watch(fake: &Fake, rows: u16, columns: u16, variables: &[(&str, &str)]) -> Terminal {
    let terminal = Terminal::start(
        rows,
        columns,
        &["--url", &fake.url, "stats", "--watch=100ms"],
        variables,
    );
    terminal.wait_for("q quit");
    terminal
}

/// The lines from the first with this prefix on, without trailing columns.
fn lines_from(text: &str, start: &str, count: usize) -> Vec<String> {
    text.lines()
        .skip_while(|line| !line.starts_with(start))
        .take(count)
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[test]
fn the_view_shows_the_server_and_its_channels_in_80_columns() {
    let fake = server(&Arc::default());
    let terminal = watch(&fake, 24, 80, &[]);
    assert!(!terminal.is_cooked(), "keys are read one by one");
    terminal.wait("the alternate screen", |screen| {
        screen.alternate_screen() && screen.hide_cursor()
    });
    let text = terminal.text();
    let head = text.lines().next().unwrap_or_default();
    assert!(
        head.starts_with(&format!("pushctl {}  ·  testhost  ·  up 1m 1s  ", fake.url))
            && head.ends_with("every 100ms"),
        "{head}"
    );
    assert_eq!(
        lines_from(&text, " workers", 9),
        [
            " workers  1 (77: 820)",
            " server   40 channels, memory ███░░░░░░░ 1 MiB of 4 MiB",
            " details  messages missed 1,234",
            " channel 1-13 of 40                subscribers▼    msg/s    published     stored",
            " \\u{1b}[2J\\u{202e}evil                       40        0        1,000         50",
            " 日本語                                      39        0        1,000         50",
            " xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…           38        0        1,000         50",
            " channel-37                                  37        0        1,000         50",
            " channel-36                                  36        0        1,000         50",
        ]
    );
    assert!(
        text.contains("subscribers 820") && text.contains("stored 2,000"),
        "{text}"
    );
    terminal.send("q");
    assert_eq!(terminal.end(), (0, String::new()));
}

#[test]
fn keys_sort_filter_pause_and_help() {
    let fake = server(&Arc::default());
    let terminal = watch(&fake, 24, 80, &[]);
    terminal.send("r");
    terminal.wait_for("subscribers▲");
    terminal.wait_for("channel-01 ");
    terminal.send("rssss");
    terminal.wait_for("channel▲ 1-13 of 40");
    terminal.send("/el-1\r");
    terminal.wait_for("filter *el-1*");
    terminal.wait_for("channel▲ 10");
    terminal.send("\u{1b}");
    terminal.wait_for("1-13 of 40");
    terminal.send("G");
    terminal.wait_for("28-40 of 40");
    terminal.send("p");
    terminal.wait_for("PAUSED");
    terminal.send("?");
    terminal.wait_for("request the counters now");
    terminal.send(" ");
    terminal.wait("the help is gone", |screen| {
        !screen.contents().contains("request the counters now")
    });
    terminal.send("\u{3}");
    assert_eq!(terminal.end().0, 130, "Ctrl-C");
}

#[test]
fn the_view_fits_any_size_and_follows_it() {
    let fake = server(&Arc::default());
    let terminal = watch(&fake, 24, 80, &[]);
    for (rows, columns) in [(50, 140), (12, 60), (3, 30), (1, 1), (24, 80)] {
        terminal.resize(rows, columns);
        let last = if columns > 10 { " q quit" } else { "" };
        terminal.wait("the last line in its place", |screen| {
            let lines: Vec<String> = screen.rows(0, columns).collect();
            lines.len() == usize::from(rows)
                && lines.last().is_some_and(|line| line.starts_with(last))
        });
    }
    terminal.send("q");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn no_colour_and_no_utf8_are_honoured() {
    let fake = server(&Arc::default());
    let terminal = watch(&fake, 24, 80, &[("NO_COLOR", "1"), ("LC_ALL", "C")]);
    terminal.wait("a picture without colours", |screen| {
        let cells = (0..24).flat_map(|row| (0..80).map(move |column| (row, column)));
        cells
            .filter_map(|(row, column)| screen.cell(row, column))
            .all(|cell| cell.fgcolor() == vt100::Color::Default)
    });
    let text = terminal.text();
    let own: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with(" 日本語"))
        .collect();
    assert!(own.iter().all(|line| line.is_ascii()), "{text}");
    assert!(
        text.contains("+ subscribers 820 ---")
            && text.contains("memory ###.......")
            && text.contains("subscribersv"),
        "{text}"
    );
    terminal.send("q");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn the_view_is_restored_after_ctrl_z() {
    let fake = server(&Arc::default());
    let terminal = watch(&fake, 24, 80, &[]);
    // Without a shell nothing stops the program, so it suspends itself on the terminal and resumes
    // at once.
    terminal.send("\u{1a}s");
    terminal.wait_for("msg/s▼");
    terminal.wait("the alternate screen", |screen| {
        screen.alternate_screen() && screen.hide_cursor()
    });
    terminal.send("q");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_lost_server_is_reported_and_reconnected() {
    let fails = Arc::default();
    let fake = server(&fails);
    let terminal = watch(&fake, 24, 80, &[]);
    fails.store(1, Ordering::SeqCst);
    terminal.wait_for("LOST");
    terminal.wait_for(" no response for ");
    assert!(
        terminal.text().contains("channel-37"),
        "the last picture stays"
    );
    fails.store(0, Ordering::SeqCst);
    terminal.wait_for("q quit");
    terminal.send("q");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn signals_leave_the_terminal_clean() {
    let fake = server(&Arc::default());
    for signal in [Signal::TERM, Signal::INT] {
        let terminal = watch(&fake, 24, 80, &[]);
        terminal.signal(signal);
        assert_eq!(terminal.end(), (130, String::new()), "{signal:?}");
    }
}

#[test]
fn an_unreachable_server_is_an_ordinary_error() {
    let url = format!("http://127.0.0.1:{}", crate::support::free_port());
    let terminal = Terminal::start(24, 80, &["--url", &url, "stats", "--watch"], &[]);
    let error = format!("pushctl: cannot reach {url}");
    terminal.wait_for(&error);
    let (code, text) = terminal.end();
    assert!(code == 3 && text.starts_with(&error), "{code} {text}");
}

#[test]
fn the_view_ends_with_its_time() {
    let fake = server(&Arc::default());
    let terminal = Terminal::start(
        24,
        80,
        &[
            "--url",
            &fake.url,
            "stats",
            "--watch=100ms",
            "--timeout",
            "500ms",
        ],
        &[],
    );
    assert_eq!(terminal.end(), (0, String::new()));
}

#[test]
fn a_dumb_terminal_gets_plain_tables() {
    let fake = server(&Arc::default());
    let terminal = Terminal::start(
        60,
        120,
        &["--url", &fake.url, "stats", "--watch=100ms"],
        &[("TERM", "dumb")],
    );
    let is_plain = |screen: &vt100::Screen| {
        let text = screen.contents();
        let is_bold = |line: u16| screen.cell(line, 0).is_some_and(vt100::Cell::bold);
        text.contains("testhost") && !screen.alternate_screen() && !(0..60).any(is_bold)
    };
    terminal.wait("a plain table", is_plain);
    terminal.signal(Signal::INT);
    let (code, text) = terminal.end();
    assert!(code == 130 && text.contains("testhost"), "{code} {text}");
}
