//! `pushctl check`: what pushctl makes of a configuration, without serving it.
//!
//! The report is data on stdout; mistakes are part of it, and of the exit code.

mod advice;
mod hint;
mod locations;
mod report;
mod servers;
mod todo;

use std::path::PathBuf;

use super::exit::{Code, Usage};
use super::output;
use crate::server::config::source;
use crate::server::config::source::FrontEnforces;
use crate::server::config::source::ImportOptions;
use report::CheckReport;

pub(super) use hint::add_hint;

/// Address at which pushctl listens behind nginx.
const BEHIND: &str = "127.0.0.1:9080";

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pushctl check /etc/nginx/nginx.conf
  pushctl check nginx.conf --to-toml > push.toml
  pushctl check nginx.conf --front > front.conf")]
pub struct Args {
    /// Configuration file, in TOML (*.toml) or as an nginx.conf
    file: PathBuf,
    /// Print lines of JSON: directives, locations, errors
    #[arg(long, conflicts_with_all = ["front", "to_toml"])]
    json: bool,
    /// Exit with 2 also for unsupported directives
    #[arg(long)]
    strict: bool,
    /// Print the configuration of an nginx in front of pushctl
    ///
    /// It forwards the push locations to pushctl at ADDR [default: 127.0.0.1:9080]. Start pushctl
    /// with the same file and the options of `serve` that the first lines name.
    #[arg(
        long,
        value_name = "ADDR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = BEHIND,
        conflicts_with = "to_toml"
    )]
    front: Option<String>,
    /// Directives that the proxy in front enforces, as with `serve`; `all`: all
    ///
    /// Repeatable, also separated by commas.
    #[arg(long, value_name = "DIRECTIVE", value_delimiter = ',')]
    front_enforces: Vec<String>,
    /// Print the configuration in TOML, for `serve --config`
    #[arg(long)]
    to_toml: bool,
}

/// Prints the report.
///
/// # Errors
/// When the file cannot be read or stdout cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Code> {
    let loaded = source::load(&args.file, &args.import_options());
    let mut left_to_front = Vec::new();
    let mut report = match loaded {
        Ok(loaded) => {
            left_to_front = loaded.left_to_front;
            CheckReport {
                config: Some(loaded.config),
                mistakes: Vec::new(),
                notices: loaded.notices,
                directives: loaded.directives,
            }
        }
        Err(rejected) => CheckReport {
            config: None,
            mistakes: rejected.mistakes,
            notices: rejected.notices,
            directives: rejected.directives,
        },
    };
    report.add_hints();
    report.mark_unsupported_locations();
    if args.front.is_some() || args.to_toml {
        if report.config.is_none() {
            return Err(Usage(report.mistakes_text()).into());
        }
        let text = match &args.front {
            Some(address) => front(args, &left_to_front, address)?,
            None => to_toml(args)?.into_bytes(),
        };
        output::text(&output::lines(&text))?;
        return Ok(report.code(args.strict));
    }
    if args.json {
        output::text(&output::json(report.json().as_bytes()))?;
    } else {
        output::text(&output::lines(report.text().as_bytes()))?;
    }
    Ok(report.code(args.strict))
}

impl Args {
    /// `--front` and `--to-toml` print all of the file, whatever enforces its directives.
    fn import_options(&self) -> ImportOptions {
        let prints_file = self.front.is_some() || self.to_toml;
        let front_enforces = if prints_file {
            FrontEnforces::all()
        } else {
            FrontEnforces(self.front_enforces.clone())
        };
        ImportOptions {
            front_enforces,
            has_front_address: prints_file || !self.front_enforces.is_empty(),
        }
    }
}

fn front(args: &Args, guards: &[String], address: &str) -> anyhow::Result<Vec<u8>> {
    let text = std::fs::read(&args.file)?;
    Ok(source::front(&args.file.display().to_string(), &text, guards, address).map_err(Usage)?)
}

fn to_toml(args: &Args) -> anyhow::Result<String> {
    let text = std::fs::read(&args.file)?;
    Ok(source::to_toml(&args.file.display().to_string(), &text).map_err(Usage)?)
}
