//! The console blocks of the README and the guide run, and print what the pages show.
//!
//! A block is fenced as `console` (commands behind `$ `, their output below them) or `sh` (a script
//! without output). The blocks of a page run in order, in one temporary directory with the files
//! of [`FILES`], next to one server. In a block that shows output, each command must print exactly
//! what stands below it, after the [`REPLACEMENTS`]. In a block that shows none, the commands must
//! succeed. HTML comments directly above a fence say more:
//!
//! - `<!-- not run: REASON -->`: the block needs what a test does not have (root, systemd, ...);
//! - `<!-- first: COMMAND -->`: a command that runs before the block, for what the page presumes;
//! - `<!-- file: NAME -->`: the block, of any language, is a file of that name.
//!
//! Commands that do not end by themselves (see [`session::runs_on`]) run in the background until
//! the end of the page. A further `pushctl serve` replaces the server before it.

mod page;
mod session;

use std::fs;
use std::path::{Path, PathBuf};

use page::{Block, Kind};
use regex::Regex;
use session::Session;

/// The files that the pages presume, in the directory of each page. `PORT` is the server's.
const FILES: &[(&str, &str)] = &[
    ("nginx.conf", NGINX_CONF),
    (
        "integration-tests.sh",
        "#!/bin/sh\npushctl pub tests hello\n",
    ),
    ("work", "#!/bin/sh\ncat\n"),
    ("some-command", "#!/bin/sh\necho done\n"),
    ("app.log", "one\ntwo\n"),
    (
        "messages.ndjson",
        "{\"channel\":\"ch1\",\"text\":\"one\"}\n{\"channel\":\"ch2\",\"text\":\"two\"}\n",
    ),
];

/// A configuration that `check` and `serve` accept.
const NGINX_CONF: &str = r"
events {}
http {
    push_stream_shared_memory_size 32m;
    server {
        listen 127.0.0.1:PORT;
        location /pub {
            push_stream_publisher admin;
            push_stream_channels_path $arg_id;
        }
        location ~ ^/sub/(.+)$ {
            push_stream_subscriber;
            push_stream_channels_path $1;
        }
    }
}
";

/// What differs from run to run, in what is expected and in what is printed: patterns, and what
/// replaces them. The port of the server is shown as the pages' 9080 by [`normalise`].
const REPLACEMENTS: &[(&str, &str)] = &[
    // A terminal does not show carriage returns before line feeds.
    (r"\r\n", "\n"),
    // Lines of the server's log, which the pages leave out, and pings of a stream that took long.
    (r"(?m)^\d{4}-\d\d-\d\dT[\d:.]+Z +(INFO|WARN) .*\n", ""),
    (r#"(?m)^\{"id":-1,.*\n"#, ""),
    // The tag of a message.
    (r#""tag":"\d+""#, "TAG"),
    // A date of HTTP, an ISO date and time, a date and time of a message.
    (
        r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
        "HTTP-DATE",
    ),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\b", "DATE"),
    // The uptime, the process ids of the worker table, and the name of the machine.
    (r"(?m)^(uptime +)\d+s$", "${1}UPTIME"),
    (r"(?m)^\d+( +\d+ +)\d+s$", "PID${1}UPTIME"),
    (r"(?m)^(hostname +)\S+$", "${1}HOST"),
];

#[test]
fn console_blocks_print_what_the_pages_show() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = pages(root)
            .into_iter()
            .map(|path| scope.spawn(move || run_page(root, &path)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a page does not panic"))
            .collect()
    });
    let mut problems = Vec::new();
    let mut run = 0;
    let mut skipped = 0;
    for result in results {
        eprintln!(
            "{}: {} blocks run, {} not run",
            result.name, result.run, result.skipped
        );
        run += result.run;
        skipped += result.skipped;
        problems.extend(result.problems);
    }
    eprintln!("console blocks: {run} run, {skipped} not run");
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    assert!(run > skipped, "{run} blocks run, {skipped} not run");
}

/// The README, the pages of the guide, and the picture of a terminal, which `docs/pictures/make`
/// makes.
fn pages(root: &Path) -> Vec<PathBuf> {
    let guide = fs::read_dir(root.join("docs/guide")).expect("the guide is a directory");
    let mut pages: Vec<_> = guide
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(root.join("README.md"));
    pages.push(root.join("docs/pictures/terminal.svg"));
    pages.sort();
    pages
}

/// Results of the blocks of a page.
struct PageResult {
    name: String,
    run: usize,
    skipped: usize,
    problems: Vec<String>,
}

fn run_page(root: &Path, path: &Path) -> PageResult {
    let name = path
        .strip_prefix(root)
        .expect("a page is below the root")
        .display()
        .to_string();
    let text = fs::read_to_string(path).expect("the page is readable UTF-8");
    let mut result = PageResult {
        name,
        run: 0,
        skipped: 0,
        problems: Vec::new(),
    };
    let blocks = if result.name.ends_with(".svg") {
        page::picture(&text)
    } else {
        page::blocks(&text)
    };
    let blocks = match blocks {
        Ok(blocks) => blocks,
        Err(problem) => {
            result.problems.push(format!("{}:{problem}", result.name));
            return result;
        }
    };
    let is_to_run = |block: &&Block| matches!(block.kind, Kind::Run { .. });
    result.run = blocks.iter().filter(is_to_run).count();
    result.skipped = blocks
        .iter()
        .filter(|block| matches!(block.kind, Kind::NotRun))
        .count();
    if result.run > 0 {
        let problems = run_blocks(&blocks);
        result.problems.extend(
            problems
                .into_iter()
                .map(|it| format!("{}:{it}", result.name)),
        );
    }
    result
}

/// Runs the blocks of a page and reports what differs, each with its line.
fn run_blocks(blocks: &[Block]) -> Vec<String> {
    let mut session = Session::new();
    for (name, text) in FILES {
        session.write(name, text);
    }
    let steps = || blocks.iter().filter_map(|block| block.steps()).flatten();
    if !steps().any(|step| session::is_server(&step.command)) {
        session.run(&page::Step::server());
    }
    for block in blocks {
        match &block.kind {
            Kind::File { name, text } => session.write(name, text),
            Kind::Run { steps } => steps.iter().for_each(|step| session.run(step)),
            Kind::NotRun => (),
        }
    }
    session.finish()
}

/// The text with what differs from run to run replaced.
fn normalise(text: &str, port: u16) -> String {
    let mut text = text.replace(&format!(":{port}"), ":9080");
    for (pattern, name) in REPLACEMENTS {
        let pattern = Regex::new(pattern).expect("a valid pattern");
        text = pattern.replace_all(&text, *name).into_owned();
    }
    text.trim_end_matches('\n').to_owned()
}
