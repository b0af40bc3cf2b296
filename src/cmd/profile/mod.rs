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

mod choice;
mod credentials;
mod environment;
mod file;
mod settled;
mod token_command;

use credentials::{bearer, has_credentials};
use environment::variable;
use file::load;

use reqwest::header::HeaderMap;

use super::exit::Usage;

pub use choice::ServerChoice;
pub use credentials::url_without_credentials;
pub use environment::{DEFAULT_URL, TOKEN_VARIABLE, URL_VARIABLE};
pub use file::path;
pub use settled::Settled;
pub use token_command::TokenCommand;

/// A server as `pushctl servers` lists it.
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its URL, as written.
    pub url: String,
    /// True for the default server.
    pub is_default: bool,
}

/// Selects the server and collects its settings.
///
/// # Errors
/// When the configuration file is invalid or lacks the server, or the token is not available.
pub fn settle(choice: &ServerChoice, token_command: TokenCommand) -> anyhow::Result<Settled> {
    let plain = |url: String| Settled::new(url, HeaderMap::new());
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
        settled.set_authorization(bearer(&token, TOKEN_VARIABLE)?);
    }
    // Credentials in the URL take precedence over a token.
    if has_credentials(&settled.url) {
        settled.remove_authorization();
    }
    Ok(settled)
}

/// The servers of the configuration file, by name.
///
/// # Errors
/// When the file is invalid.
pub fn list(choice: &ServerChoice) -> anyhow::Result<Vec<Listed>> {
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

/// The server `name`, or the default one if there is one.
fn named(
    choice: &ServerChoice,
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
