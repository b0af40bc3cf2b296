//! `pushctl bench`: many subscribers on one server, with a check that every message arrived once
//! and in order.
//!
//! ```text
//! run ── pool: subscribers here, or worker processes ── messages ──> state ── ledger
//!  └── publish: stamps messages with their due time         results <── collected ──┘
//! results ──> report ──> text, html (chart), compare, check
//! ```
//!
//! `stamp` marks the messages, `clock` is the time that all processes share, `series` counts over
//! time, `limits` reads the limits of the system, `machine` describes the measuring machine,
//! `progress` is the live display.

mod args;
mod check;
mod clock;
mod compare;
mod detection;
mod distribution;
mod html;
pub mod ledger;
mod limits;
mod machine;
mod pool;
mod progress;
mod publish;
mod report;
mod results;
mod run;
mod series;
mod server;
pub mod stamp;
mod state;
mod subscribers;
mod text;
mod workers;

use std::io::ErrorKind;
use std::path::Path;

use self::report::BenchReport;
use super::exit::{Code, Usage};
use super::output;
use super::output::figures;
use super::runtime::interrupted;

pub use args::Args;

/// Measures and prints the result.
///
/// # Errors
/// Returns an error if the run fails; faults of the server are no error but [`Code::Faulty`].
pub async fn run(args: Args, url: &str) -> anyhow::Result<Code> {
    if args.channels > args.subscribers {
        return Err(Usage(format!(
            "cannot spread {} subscribers over {} channels (see --channels)",
            args.subscribers, args.channels
        ))
        .into());
    }
    if let Some(part) = workers::part_of_this_process()? {
        return tokio::task::LocalSet::new()
            .run_until(workers::work(&args, url, part))
            .await;
    }
    // Errors in files and conditions are reported before a long run, not after it.
    let old = args.compare.as_deref().map(compare::read).transpose()?;
    if let Some(conditions) = &args.assert {
        check::failures(conditions, &BenchReport::default())?;
    }
    if let Some(path) = &args.report {
        check_writable(path)?;
    }
    let Some(outcome) = tokio::task::LocalSet::new()
        .run_until(run::run(&args, url))
        .await?
    else {
        return Ok(Code::Interrupted);
    };
    let report = outcome.report;
    let text = render(&report, old.as_ref(), args.json);
    let stdout = output::Stdout::start()?;
    tokio::select! {
        written = stdout.text(text.as_bytes()) => written?,
        result = interrupted() => return result.map(|()| Code::Interrupted),
    }
    if let Some(path) = &args.report {
        std::fs::write(path, html::page(&report)).map_err(|error| unwritable(path, &error))?;
    }
    if outcome.is_interrupted {
        output::note(format_args!(
            "interrupted: {} published, {} delivered",
            report.published, report.delivered
        ));
        return Ok(Code::Interrupted);
    }
    let failures = args.assert.as_ref().map_or(Ok(Vec::new()), |conditions| {
        check::failures(conditions, &report)
    })?;
    for failure in &failures {
        output::note(format_args!("assertion failed: {failure}"));
    }
    if let Some(error) = outcome.unanswered {
        output::note(format_args!("{error:#}"));
        return Ok(Code::TimedOut);
    }
    Ok(if report.is_faultless() && failures.is_empty() {
        Code::Success
    } else {
        Code::Faulty
    })
}

fn render(report: &BenchReport, old: Option<&BenchReport>, json: bool) -> String {
    let unicode = figures::is_unicode();
    match (json, old) {
        (true, None) => report.to_json() + "\n",
        (true, Some(old)) => {
            // The comparison is one more field of the object.
            let line = report.to_json();
            let open = line.strip_suffix('}').unwrap_or(&line);
            format!("{open},\"compared\":{}}}\n", compare::to_json(old, report))
        }
        (false, None) => text::render(report, unicode),
        (false, Some(old)) => format!(
            "{}\n{}",
            text::render(report, unicode),
            compare::to_text(old, report, unicode)
        ),
    }
}

/// Creates the file if it does not exist; existing content is kept until the report is written.
fn check_writable(path: &Path) -> Result<(), Usage> {
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    opened.map(drop).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Usage {
    let reason = if error.kind() == ErrorKind::NotFound {
        "no such directory".to_owned()
    } else {
        error.to_string()
    };
    Usage(format!(
        "cannot write '{}': {reason} (see --report)",
        path.display()
    ))
}
