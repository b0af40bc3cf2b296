//! Figures of processes in /proc: CPU time, memory, descriptors.

use std::fs::read_to_string;
use std::time::Duration;

/// Clock ticks per second in /proc/PID/stat; the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// One reading of a server's processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Time in user mode.
    pub user: Duration,
    /// Time in the kernel.
    pub system: Duration,
    /// Resident memory, KiB.
    pub rss_kib: u64,
    /// Resident memory, with shared pages split among those that share them, KiB.
    pub pss_kib: u64,
    /// Private memory of the processes, KiB.
    pub private_kib: u64,
    /// Anonymous memory, KiB: allocated by the process, independent of other processes with the
    /// same binary.
    pub anonymous_kib: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

impl Reading {
    /// Time on the CPU.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }

    /// Reads a process and its descendants.
    #[must_use]
    pub fn of(root: u32) -> Self {
        let mut sum = Self::default();
        for pid in family(root) {
            sum.add_times(pid);
            sum.add_memory(pid);
            sum.descriptors += std::fs::read_dir(format!("/proc/{pid}/fd"))
                .map_or(0, |entries| entries.count() as u64);
        }
        sum
    }

    /// Reads only the CPU time of a process and its descendants, which is cheap.
    #[must_use]
    pub fn cpu_of(root: u32) -> Duration {
        let mut sum = Self::default();
        family(root).into_iter().for_each(|pid| sum.add_times(pid));
        sum.cpu()
    }

    fn add_times(&mut self, pid: u32) {
        let Ok(stat) = read_to_string(format!("/proc/{pid}/stat")) else {
            return;
        };
        // The name in parentheses may contain any character.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = |nth: usize| {
            fields
                .get(nth)
                .and_then(|field| field.parse::<u64>().ok())
                .unwrap_or(0)
        };
        self.user += Duration::from_millis(ticks(11) * 1000 / TICKS_PER_SECOND);
        self.system += Duration::from_millis(ticks(12) * 1000 / TICKS_PER_SECOND);
    }

    fn add_memory(&mut self, pid: u32) {
        let Ok(text) = read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
            return;
        };
        let of = |name| kib(&text, name);
        self.rss_kib += of("Rss:");
        self.pss_kib += of("Pss:");
        self.private_kib += of("Private_Clean:") + of("Private_Dirty:");
        self.anonymous_kib += of("Anonymous:");
    }
}

/// Memory of the kernel for all processes of the machine, KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel {
    /// Objects of the kernel: sockets, descriptors, epoll entries.
    pub slab_kib: u64,
    /// Buffers of TCP sockets.
    pub tcp_buffers_kib: u64,
}

impl Kernel {
    /// Reads /proc/meminfo and /proc/net/sockstat.
    #[must_use]
    pub fn read() -> Self {
        let memory = read_to_string("/proc/meminfo").unwrap_or_default();
        let sockets = read_to_string("/proc/net/sockstat").unwrap_or_default();
        let tcp: Vec<&str> = sockets
            .lines()
            .find(|line| line.starts_with("TCP:"))
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let of = |name| {
            tcp.iter()
                .position(|word| *word == name)
                .and_then(|at| tcp.get(at + 1)?.parse::<u64>().ok())
                .unwrap_or(0)
        };
        Self {
            slab_kib: kib(&memory, "Slab:"),
            tcp_buffers_kib: of("mem") * 4,
        }
    }
}

/// `Name:   123 kB`
fn kib(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// A process and all its descendants.
fn family(root: u32) -> Vec<u32> {
    let mut pids = vec![root];
    let mut seen = 0;
    while let Some(pid) = pids.get(seen).copied() {
        seen += 1;
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let children = read_to_string(task.path().join("children")).unwrap_or_default();
            pids.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let reading = Reading::of(std::process::id());
        assert!(
            reading.rss_kib >= reading.private_kib && reading.private_kib > 0,
            "{reading:?}"
        );
        assert!(reading.descriptors >= 3, "{reading:?}");
    }
}
