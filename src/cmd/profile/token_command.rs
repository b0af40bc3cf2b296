//! Whether a command that prints a token may run.

/// Whether a `token_command` of the configuration file is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenCommand {
    /// Run it: the user sends a request.
    Run,
    /// Do not run it: a completion must not run a command, least of all that of a file whose name
    /// was only typed.
    Skip,
}
