//! The files of a configuration: lines with their file, and the files that `include` names.
//!
//! As in nginx, relative paths refer to the directory of the main file, a pattern may match no
//! file, and matches are sorted by name. Limits: [`MAX_DEPTH`],
//! [`MAX_FILES`] and [`MAX_BYTES`].

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, glob_with};

/// Maximum depth of includes.
const MAX_DEPTH: usize = 16;
/// Maximum number of inclusions; a file that is included twice counts twice.
const MAX_FILES: usize = 4096;
/// Maximum size of a file in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A line of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::server) struct SourcePlace {
    /// Number of the file; 0 = the main file.
    pub(in crate::server) file: u16,
    /// Number of the line, from 1; 0 = the file as a whole.
    pub(in crate::server) line: usize,
}

/// The files that were read so far.
#[derive(Debug)]
pub(in crate::server) struct Files {
    /// Names of the files in messages.
    names: Vec<String>,
    /// Where relative paths begin.
    base: PathBuf,
    /// The files that are being read, outermost first.
    open: Vec<PathBuf>,
    /// [`MAX_FILES`] was exceeded, which is reported once.
    is_full: bool,
}

impl Files {
    /// Starts with the main file.
    pub(in crate::server) fn new(main: &str) -> Self {
        let path = Path::new(main);
        let base = path.parent().map(Path::to_owned).unwrap_or_default();
        Self {
            names: vec![main.to_owned()],
            base,
            open: vec![real(path)],
            is_full: false,
        }
    }

    /// The name of a file.
    pub(in crate::server) fn name(&self, file: u16) -> &str {
        &self.names[usize::from(file)]
    }

    /// Where relative paths begin.
    pub(in crate::server) fn base(&self) -> &Path {
        &self.base
    }

    /// The files that the argument of `include` names.
    pub(in crate::server) fn matching(&self, pattern: &[u8]) -> Result<Vec<PathBuf>, String> {
        let path = self.base.join(OsStr::from_bytes(pattern));
        if !pattern
            .iter()
            .any(|byte| matches!(byte, b'*' | b'?' | b'['))
        {
            return Ok(vec![path]);
        }
        // In nginx `**` means the same as `*`.
        let text = path
            .to_str()
            .ok_or("the path of an \"include\" is not UTF-8")?
            .replace("**", "*");
        let options = MatchOptions {
            require_literal_separator: true,
            require_literal_leading_dot: true,
            ..MatchOptions::default()
        };
        let found = glob_with(&text, options)
            .map_err(|error| format!("invalid pattern \"{text}\" in \"include\": {error}"))?;
        found
            .map(|path| {
                path.map_err(|error| {
                    format!("cannot read the directories of \"include {text}\": {error}")
                })
            })
            .collect()
    }

    /// Reads an included file and returns its number and text; [`Files::leave`] must follow. `None`
    /// if there are too many files, which is reported once.
    pub(in crate::server) fn enter(
        &mut self,
        path: &Path,
    ) -> Result<Option<(u16, Vec<u8>)>, String> {
        if self.is_full {
            return Ok(None);
        }
        let shown = path.display();
        if self.open.len() > MAX_DEPTH {
            return Err(format!(
                "cannot include \"{shown}\": includes are nested too deeply (maximum {MAX_DEPTH})"
            ));
        }
        let identity = real(path);
        if self.open.contains(&identity) {
            return Err(format!("cannot include \"{shown}\": it includes itself"));
        }
        let number = u16::try_from(self.names.len())
            .ok()
            .filter(|number| usize::from(*number) <= MAX_FILES);
        let Some(number) = number else {
            self.is_full = true;
            return Err(format!(
                "cannot include \"{shown}\": too many inclusions (maximum {MAX_FILES})"
            ));
        };
        let text = read(path)?;
        self.names.push(shown.to_string());
        self.open.push(identity);
        Ok(Some((number, text)))
    }

    /// Ends the file that was entered last.
    pub(in crate::server) fn leave(&mut self) {
        self.open.pop();
    }
}

/// The canonical path, or the path itself if there is no such file.
fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Reads a regular file; the error is in nginx's wording.
pub(in crate::server) fn read(path: &Path) -> Result<Vec<u8>, String> {
    // Opening a pipe would block.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(format!("\"{}\" is not a regular file", path.display()));
    }
    read_any(path)
}

/// Reads a file of any kind, such as a pipe.
pub(in crate::server) fn read_any(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |call: &str, error: &std::io::Error| {
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        format!(
            "{call}() \"{}\" failed ({}: {text})",
            path.display(),
            error.raw_os_error().unwrap_or_default()
        )
    };
    let file = std::fs::File::open(path).map_err(|error| failed("open", &error))?;
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|error| failed("read", &error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!(
            "\"{}\" is larger than {MAX_BYTES} bytes",
            path.display()
        ));
    }
    Ok(text)
}
