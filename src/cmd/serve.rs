//! `pushctl serve`.

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs a broker.
///
/// # Errors
/// When it cannot start.
pub fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("this build has no server")
}
