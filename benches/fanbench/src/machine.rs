//! The measuring machine: its description for the results, and the cores of server and load.

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Core of the server.
pub const SERVER_CORE: usize = 0;
/// Core of the load generator.
pub const LOAD_CORE: usize = 1;

/// Number of cores that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Pins this thread and its children to one core; no effect on a machine with one core.
pub fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    // If pinning is not permitted, server and load disturb each other, which is visible in the
    // figures.
    let _ = sched_setaffinity(None, &set);
}

/// One line of notes: CPU, cores, memory, kernel, versions.
#[must_use]
pub fn notes(pushctl: &Path) -> String {
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown CPU", |(_, name)| name.trim());
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = read_to_string("/proc/cpuinfo")
        .unwrap_or_default()
        .matches("processor\t")
        .count();
    let mut versions = vec![first_line(Command::new(pushctl).arg("--version"))];
    versions.push(first_line(Command::new("nginx").arg("-v")));
    versions.push(first_line(Command::new("dpkg-query").args([
        "-W",
        "-f",
        "nchan ${Version}",
        "libnginx-mod-nchan",
    ])));
    versions.retain(|version| !version.is_empty());
    format!(
        "{model}, {cores} cores, {} GiB, Linux {}; \
             {}",
        kib / 1024 / 1024,
        kernel.trim(),
        versions.join(", ")
    )
}

/// Load of the machine in the last minute.
#[must_use]
pub fn load_average() -> String {
    read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Day and time in UTC.
#[must_use]
pub fn date() -> String {
    first_line(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))
}

/// The first line of what a command prints, on either stream.
fn first_line(command: &mut Command) -> String {
    let Ok(output) = command.output() else {
        return String::new();
    };
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    if !output.status.success() {
        return String::new();
    }
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
