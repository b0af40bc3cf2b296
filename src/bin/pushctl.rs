//! The `pushctl` program.
fn main() {}
