//! `pushctl bench`.

use super::exit::Code;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Measures.
///
/// # Errors
/// Always: it comes with the next change.
pub async fn run(_args: Args, _url: &str) -> anyhow::Result<Code> {
    anyhow::bail!("this build cannot measure")
}
