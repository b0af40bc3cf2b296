//! Shared parts of the benches: common options, servers to measure, and comparisons.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use crate::machine::{self, LOAD_CORE};
use crate::report::{Table, median, number};
use crate::server::{Kind, Server, Setup, find_nchan};

/// Time without progress after which a step fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Options of all benches.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The binary to measure
    #[arg(
        long,
        value_name = "PATH",
        default_value = "target/release/pushctl",
        global = true
    )]
    pub pushctl: PathBuf,
    /// Further arguments of `pushctl serve`, separated by spaces
    #[arg(
        long,
        value_name = "ARGS",
        default_value = "",
        allow_hyphen_values = true,
        global = true
    )]
    pub serve: String,
    /// Measure pushctl alone
    #[arg(long, global = true)]
    pub no_nchan: bool,
    /// Number of rounds; the median is reported
    #[arg(long, value_name = "N", default_value_t = 3, global = true)]
    pub rounds: usize,
    /// Append the table to this file
    #[arg(long, value_name = "FILE", global = true)]
    pub results: Option<PathBuf>,
}

/// A run of one bench.
pub struct Context {
    /// The common options.
    pub common: Common,
    /// The command line of the bench.
    pub command: String,
}

/// The result of one measurement.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// CPU time of the server per message or delivery, in microseconds.
    pub cpu_us: f64,
    /// Messages or deliveries per second.
    pub per_second: f64,
    /// Latency in milliseconds; NAN if it was not measured.
    pub p99_ms: f64,
    /// Faults.
    pub faults: String,
}

impl Context {
    /// Checks the binary and moves this program to the core of the load.
    ///
    /// # Errors
    /// When there is no such binary.
    pub fn new(common: Common, name: &str) -> Result<Self> {
        let path = common.pushctl.display();
        ensure!(
            common.pushctl.is_file(),
            "there is no {path} (cargo build --release, or give \
                                           --pushctl PATH)"
        );
        ensure!(common.rounds > 0, "--rounds must be at least 1");
        let mut words = vec![format!("benches/run {name}")];
        let mut arguments = std::env::args()
            .skip(1)
            .filter(|word| word != name)
            .peekable();
        while let Some(word) = arguments.next() {
            // Paths of this machine are not relevant for the result.
            if word == "--pushctl" || word == "--results" {
                arguments.next();
            } else if word.contains(' ') {
                words.push(format!("'{word}'"));
            } else {
                words.push(word);
            }
        }
        Ok(Self {
            common,
            command: words.join(" "),
        })
    }

    /// Pins the load to its own core, away from the server.
    pub fn pin_load() {
        if machine::cores() > 1 {
            machine::pin(LOAD_CORE);
        } else {
            eprintln!("only one core: load and server compete for it");
        }
    }

    /// How servers are started.
    #[must_use]
    pub fn setup(&self) -> Setup {
        Setup {
            pushctl: self.common.pushctl.clone(),
            arguments: self
                .common
                .serve
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            pinned: true,
            nchan_stored: 100,
        }
    }

    /// The servers to measure: nchan as well, if it is installed and selected.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        if self.common.no_nchan {
            return vec![Kind::Pushctl];
        }
        match find_nchan() {
            Ok(()) => vec![Kind::Pushctl, Kind::Nchan],
            Err(error) => {
                eprintln!("nchan is not measured: {error}");
                vec![Kind::Pushctl]
            }
        }
    }

    /// Measures each case with each server, in interleaved rounds with fresh servers, and adds a
    /// row of medians per case.
    ///
    /// # Errors
    /// When a server does not start or a measurement fails.
    pub fn compare<C>(
        &self,
        table: &mut Table,
        setup: &Setup,
        cases: &[(String, C)],
        mut measure: impl FnMut(&mut Server, &C) -> Result<Sample>,
    ) -> Result<()> {
        let kinds = self.kinds();
        let mut samples = vec![[const { Vec::new() }; 2]; cases.len()];
        for round in 1..=self.common.rounds {
            for (nth, (name, case)) in cases.iter().enumerate() {
                for &kind in &kinds {
                    let mut server = Server::start(kind, setup)?;
                    let sample = measure(&mut server, case)?;
                    let Sample {
                        cpu_us,
                        per_second,
                        p99_ms,
                        faults,
                    } = &sample;
                    let latency = if p99_ms.is_finite() {
                        format!(", p99 {p99_ms:.2} ms")
                    } else {
                        String::new()
                    };
                    let faults = if faults.is_empty() {
                        String::new()
                    } else {
                        format!(", FAULTS: {faults}")
                    };
                    eprintln!(
                        "round {round}: {name}: {} {cpu_us:.2} us, \
                               {per_second:.0}/s{latency}{faults}",
                        kind.name()
                    );
                    samples[nth][kind as usize].push(sample);
                }
            }
        }
        for ((name, _), samples) in cases.iter().zip(&samples) {
            table.row(row(name, samples));
        }
        Ok(())
    }
}

/// Columns of [`Context::compare`], for a unit of work.
pub const COLUMNS: [&str; 8] = [
    "",
    "pushctl, us CPU",
    "nchan, us CPU",
    "ratio",
    "pushctl/s",
    "nchan/s",
    "p99 ms",
    "faults",
];

fn row(name: &str, [ours, theirs]: &[Vec<Sample>; 2]) -> Vec<String> {
    let of = |samples: &[Sample], value: fn(&Sample) -> f64| {
        median(&samples.iter().map(value).collect::<Vec<_>>())
    };
    let cpu = of(ours, |sample| sample.cpu_us);
    let their_cpu = of(theirs, |sample| sample.cpu_us);
    let p99 = (
        of(ours, |sample| sample.p99_ms),
        of(theirs, |sample| sample.p99_ms),
    );
    let faults: Vec<&str> = ours
        .iter()
        .map(|sample| sample.faults.as_str())
        .filter(|faults| !faults.is_empty())
        .collect();
    vec![
        name.to_owned(),
        number(cpu, 2),
        number(their_cpu, 2),
        number(cpu / their_cpu, 2),
        number(of(ours, |sample| sample.per_second), 0),
        number(of(theirs, |sample| sample.per_second), 0),
        format!("{} / {}", number(p99.0, 2), number(p99.1, 2)),
        if faults.is_empty() {
            "none".to_owned()
        } else {
            faults.join("; ")
        },
    ]
}
