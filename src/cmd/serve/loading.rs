//! What is reported when a configuration file is loaded or reloaded.

use crate::cmd::check;
use crate::cmd::exit::Usage;
use crate::server::config::source::{InvalidConfig, LoadedConfig};

/// Logs the notices of a configuration file; the error has its mistakes.
pub(super) fn log_notices(
    loaded: Result<LoadedConfig, InvalidConfig>,
) -> Result<LoadedConfig, Usage> {
    let (Ok(LoadedConfig { notices, .. }) | Err(InvalidConfig { notices, .. })) = &loaded;
    notices.iter().for_each(|notice| tracing::warn!("{notice}"));
    loaded.map_err(|mut mistakes| {
        mistakes.mistakes.iter_mut().for_each(check::add_hint);
        Usage(mistakes.to_string())
    })
}
