//! Conditions of `if` blocks.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use super::{FrameVariables, RewriteFrame};
use crate::server::config::expression::reads::record_changing;
use crate::server::config::{Captures, Expression, RegexPattern, Variables};

/// The condition of an `if` block.
#[derive(Clone, Debug)]
pub enum Condition {
    /// `($x)`: the value is neither empty nor `0`.
    True(Expression),
    /// `($x = text)` and, negated, `($x != text)`.
    Equal {
        /// The variable.
        left: Expression,
        /// The text that it is compared with, case-sensitively.
        right: Expression,
        /// `!=`
        negated: bool,
    },
    /// `($x ~ re)`, `($x ~* re)` and, negated, `!~` and `!~*`.
    Match {
        /// The variable.
        subject: Expression,
        /// The regular expression.
        pattern: RegexPattern,
        /// `!~`, `!~*`
        negated: bool,
    },
    /// `(-f path)` and the like.
    File {
        /// The test.
        test: FileTest,
        /// The path.
        path: Expression,
        /// `!-f`
        negated: bool,
    },
}

/// A test of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileTest {
    /// `-f`: the path is a file.
    File,
    /// `-d`: the path is a directory.
    Directory,
    /// `-e`: the path exists.
    Exists,
    /// `-x`: the path is executable.
    Executable,
}

impl Condition {
    /// Evaluates the condition; records the captures of a match in `frame`.
    pub(in crate::server) fn holds(
        &self,
        variables: &dyn Variables,
        frame: &mut RewriteFrame,
    ) -> bool {
        let framed = FrameVariables { variables, frame };
        match self {
            Condition::True(variable) => !matches!(variable.evaluate(&framed).as_ref(), b"" | b"0"),
            Condition::Equal {
                left,
                right,
                negated,
            } => (left.evaluate(&framed) == right.evaluate(&framed)) != *negated,
            Condition::Match {
                subject,
                pattern,
                negated,
            } => {
                let found = pattern.captures(&subject.evaluate(&framed));
                let holds = found.is_some() != *negated;
                match found {
                    Some(captures) => frame.record_match(captures),
                    None => frame.captures = Captures::default(),
                }
                holds
            }
            Condition::File {
                test,
                path,
                negated,
            } => {
                record_changing();
                test.holds(&path.evaluate(&framed)) != *negated
            }
        }
    }
}

impl FileTest {
    fn holds(self, path: &[u8]) -> bool {
        std::fs::metadata(OsStr::from_bytes(path)).is_ok_and(|found| match self {
            FileTest::File => found.is_file(),
            FileTest::Directory => found.is_dir(),
            FileTest::Exists => true,
            FileTest::Executable => found.permissions().mode() & 0o111 != 0,
        })
    }
}
