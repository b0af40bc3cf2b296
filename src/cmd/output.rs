//! Standard output: whole lines, written at once, so that a reader of a pipe sees each as soon as it is there.

use std::io::{self, Write as _};

/// Writes `line` and a line break.
///
/// # Errors
/// That of the file; a broken pipe becomes success in [`super::exit`].
pub fn line(line: &[u8]) -> io::Result<()> {
    let mut whole = Vec::with_capacity(line.len() + 1);
    whole.extend_from_slice(line);
    whole.push(b'\n');
    text(&whole)
}

/// Writes `text` as it is.
///
/// # Errors
/// That of the file.
pub fn text(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()
}
