//! stub
use crate::context::Context;
/// x
#[derive(clap::Args, Debug)]
pub struct Options {}
/// x
pub fn run(_: &Context, _: &Options) -> anyhow::Result<()> {
    Ok(())
}
