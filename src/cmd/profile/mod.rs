//! Selection of the server: the command line, the environment, and the configuration file with
//! named servers.
//!
//! ```toml
//! default = "staging"
//!
//! [servers.staging]
//! url = "https://push.example/live"
//! token_file = "staging.token"        # or token = "…", token_command = ["pass", "show", "push"]
//! headers = { X-Team = "web" }
//! pub_path = "/publish?id={channel}"  # and sub_path, stats_path, mode, dialect
//! ```
//!
//! A token or a header of the file is sent to the URL of the same server only: with `--url` or
//! `PUSHCTL_URL` the file is not read.

mod file;

use std::fmt;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::args::Choice;
use super::exit::Usage;
use crate::client::{Dialect, Mode};
use file::load;

pub use file::path;

/// URL of the server if none is selected.
pub const DEFAULT_URL: &str = "http://127.0.0.1:9080";

/// Environment variable with the URL of the server.
pub const URL_VARIABLE: &str = "PUSHCTL_URL";
/// Environment variable with a token for the server.
pub const TOKEN_VARIABLE: &str = "PUSHCTL_TOKEN";

/// Settings of the selected server. Headers may be secrets, so `Debug` does not show them.
#[derive(Clone, Default)]
pub struct Settled {
    /// Its URL.
    pub url: String,
    /// Path template of the publisher.
    pub pub_path: Option<String>,
    /// Path template of the subscriber.
    pub sub_path: Option<String>,
    /// Path template of the statistics.
    pub stats_path: Option<String>,
    /// Delivery mode.
    pub mode: Option<Mode>,
    /// Protocol family.
    pub dialect: Option<Dialect>,
    headers: HeaderMap,
}

impl fmt::Debug for Settled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settled")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Settled {
    /// Adds the headers that are missing in `headers`.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        let missing: Vec<_> = self
            .headers
            .keys()
            .filter(|name| !headers.contains_key(*name))
            .collect();
        for name in missing {
            if let Some(value) = self.headers.get(name) {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// A server as `pushctl servers` lists it.
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its URL, as written.
    pub url: String,
    /// True for the default server.
    pub is_default: bool,
}

/// Whether a `token_command` of the configuration file is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenCommand {
    /// Run it: the user sends a request.
    Run,
    /// Do not run it: a completion must not run a command, least of all that of a file whose name
    /// was only typed.
    Skip,
}

/// Selects the server and collects its settings.
///
/// # Errors
/// When the configuration file is invalid or lacks the server, or the token is not available.
pub fn settle(choice: &Choice, token_command: TokenCommand) -> anyhow::Result<Settled> {
    let plain = |url: String| Settled {
        url,
        ..Settled::default()
    };
    let mut settled = match (&choice.url, &choice.server) {
        (Some(url), _) => plain(url.clone()),
        (None, Some(name)) => {
            named(choice, token_command, Some(name), "--server")?.unwrap_or_default()
        }
        (None, None) => match (variable(URL_VARIABLE), variable("PUSHCTL_SERVER")) {
            (Some(url), _) => plain(url),
            (None, Some(name)) => {
                named(choice, token_command, Some(&name), "PUSHCTL_SERVER")?.unwrap_or_default()
            }
            (None, None) => named(choice, token_command, None, "the key 'default'")?
                .unwrap_or_else(|| plain(DEFAULT_URL.to_owned())),
        },
    };
    if let Some(token) = variable(TOKEN_VARIABLE) {
        settled
            .headers
            .insert(AUTHORIZATION, bearer(&token, TOKEN_VARIABLE)?);
    }
    // Credentials in the URL take precedence over a token.
    if has_credentials(&settled.url) {
        settled.headers.remove(AUTHORIZATION);
    }
    Ok(settled)
}

/// The servers of the configuration file, by name.
///
/// # Errors
/// When the file is invalid.
pub fn list(choice: &Choice) -> anyhow::Result<Vec<Listed>> {
    let Some((_, file)) = load(choice)? else {
        return Ok(Vec::new());
    };
    let is_default = |name: &str| file.default.as_deref() == Some(name);
    Ok(file
        .servers
        .iter()
        .map(|(name, profile)| Listed {
            name: name.clone(),
            url: profile.url.clone(),
            is_default: is_default(name),
        })
        .collect())
}

/// A variable of the environment, if it is not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The server `name`, or the default one if there is one.
fn named(
    choice: &Choice,
    token_command: TokenCommand,
    name: Option<&str>,
    place: &str,
) -> anyhow::Result<Option<Settled>> {
    let Some((path, file)) = load(choice)? else {
        let Some(name) = name else { return Ok(None) };
        let where_to = path(choice).map_or_else(
            || "and no home directory".to_owned(),
            |path| path.display().to_string(),
        );
        return Err(Usage(format!(
            "unknown server '{name}': no configuration file {where_to} (see {place})"
        ))
        .into());
    };
    let Some(name) = name.or(file.default.as_deref()) else {
        return Ok(None);
    };
    let Some(profile) = file.servers.get(name) else {
        let known: Vec<_> = file.servers.keys().map(String::as_str).collect();
        let known = if known.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has: {}", known.join(", "))
        };
        return Err(Usage(format!(
            "unknown server '{name}' in {} (see {place}; {known})",
            path.display()
        ))
        .into());
    };
    profile.settle(name, &path, token_command).map(Some)
}

fn bearer(token: &str, what: &str) -> Result<HeaderValue, Usage> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
    let mut value = value.map_err(|_| {
        Usage(format!(
            "cannot send {what}: it has characters that are invalid in a header"
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn has_credentials(url: &str) -> bool {
    parse(url).is_some_and(|url| !url.username().is_empty() || url.password().is_some())
}

/// URL of the environment without its user and password; `None` if it has none.
#[must_use]
pub fn url_without_credentials() -> Option<String> {
    let mut url = variable(URL_VARIABLE)
        .filter(|url| has_credentials(url))
        .as_deref()
        .and_then(parse)?;
    // They fail for URLs without host, which have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(url.into())
}

fn parse(url: &str) -> Option<Url> {
    let full = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    Url::parse(&full).ok()
}
