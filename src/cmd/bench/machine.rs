//! Description of the measuring machine, without which the figures cannot be compared.

use serde::{Deserialize, Serialize};

/// The measuring machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Machine {
    /// System and release.
    pub system: String,
    /// Name of the processor.
    pub processor: String,
    /// Number of cores available to this process.
    pub cores: usize,
    /// Main memory.
    pub memory_bytes: u64,
}

impl Machine {
    /// Describes this machine; unknown fields stay empty.
    #[must_use]
    pub(super) fn here() -> Self {
        let name = rustix::system::uname();
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processors = text("/proc/cpuinfo");
        let memory = text("/proc/meminfo");
        let kibibytes = field(&memory, "MemTotal")
            .and_then(|value| value.trim_end_matches(" kB").parse::<u64>().ok());
        Self {
            system: format!(
                "{} {} {}",
                name.sysname().to_string_lossy(),
                name.release().to_string_lossy(),
                name.machine().to_string_lossy()
            ),
            processor: field(&processors, "model name")
                .unwrap_or_default()
                .to_owned(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: kibibytes.unwrap_or(0) << 10,
        }
    }
}

/// Returns the value after `name` and a colon.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}
