//! The environment variables about the server.

/// URL of the server if none is selected.
pub const DEFAULT_URL: &str = "http://127.0.0.1:9080";

/// Environment variable with the URL of the server.
pub const URL_VARIABLE: &str = "PUSHCTL_URL";
/// Environment variable with a token for the server.
pub const TOKEN_VARIABLE: &str = "PUSHCTL_TOKEN";

/// A variable of the environment, if it is not empty.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
