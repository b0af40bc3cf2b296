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

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::args::Choice;
use super::exit::Usage;
use super::output;
use crate::client::{Dialect, Mode};

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

/// The configuration file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Option<String>,
    #[serde(default)]
    servers: BTreeMap<String, Profile>,
}

/// A named server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    url: String,
    token: Option<String>,
    token_file: Option<PathBuf>,
    token_command: Option<Vec<String>>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    pub_path: Option<String>,
    sub_path: Option<String>,
    stats_path: Option<String>,
    mode: Option<String>,
    dialect: Option<String>,
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

/// Path of the configuration file.
#[must_use]
pub fn path(choice: &Choice) -> Option<PathBuf> {
    let given = choice
        .config_file
        .clone()
        .or_else(|| variable("PUSHCTL_CONFIG").map(PathBuf::from));
    given.or_else(default_path)
}

/// Default path (XDG base directory specification): in `$XDG_CONFIG_HOME` if that is absolute, else
/// in `~/.config`.
fn default_path() -> Option<PathBuf> {
    let configured = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let directory =
        configured.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(directory.join("pushctl/config.toml"))
}

/// A variable of the environment, if it is not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn load(choice: &Choice) -> anyhow::Result<Option<(PathBuf, File)>> {
    let Some(path) = path(choice) else {
        return Ok(None);
    };
    let is_wanted = choice.config_file.is_some() || variable("PUSHCTL_CONFIG").is_some();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_wanted => {
            return Ok(None);
        }
        Err(error) => {
            return Err(Usage(format!(
                "cannot read the configuration {}: {error} (see --config-file)",
                path.display()
            ))
            .into());
        }
    };
    let file = toml::from_str(&text).map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map_or(1, |before| before.matches('\n').count() + 1);
        Usage(format!(
            "cannot use the configuration {}:{line}: {}",
            path.display(),
            without_values(error.message())
        ))
    })?;
    Ok(Some((path, file)))
}

/// The message of the parser without the strings that it quotes: one may be a token.
fn without_values(message: &str) -> String {
    let mut text = String::new();
    for (number, piece) in message.lines().next().unwrap_or("").split('"').enumerate() {
        text.push_str(if number % 2 == 0 { piece } else { "\"...\"" });
    }
    text
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

impl Profile {
    fn settle(
        &self,
        name: &str,
        path: &Path,
        token_command: TokenCommand,
    ) -> anyhow::Result<Settled> {
        let wrong = |what: String| {
            Usage(format!(
                "cannot use the server '{name}' of {}: {what}",
                path.display()
            ))
        };
        if [
            self.token.is_some(),
            self.token_file.is_some(),
            self.token_command.is_some(),
        ]
        .iter()
        .filter(|given| **given)
        .count()
            > 1
        {
            return Err(wrong(
                "it has more than one token (keep one of token, token_file and token_command)"
                    .to_owned(),
            )
            .into());
        }
        if self.token.is_some() || !self.headers.is_empty() || has_credentials(&self.url) {
            warn_of_readers(path);
        }
        let mut headers = HeaderMap::new();
        for (key, value) in &self.headers {
            let header: HeaderName = key
                .parse()
                .map_err(|_| wrong(format!("'{key}' is not a header name")))?;
            let mut value = HeaderValue::from_str(value).map_err(|_| {
                wrong(format!(
                    "the value of the header '{key}' has invalid characters"
                ))
            })?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        if let Some(token) = self
            .token(path, token_command)
            .with_context(|| format!("cannot get the token of the server '{name}'"))?
        {
            headers.insert(
                AUTHORIZATION,
                bearer(&token, &format!("the token of the server '{name}'"))?,
            );
        }
        let mode = self
            .mode
            .as_deref()
            .map(|mode| <Mode as clap::ValueEnum>::from_str(mode, false));
        let mode = mode.transpose().map_err(|_| {
            wrong(format!(
                "unknown mode '{}'",
                self.mode.as_deref().unwrap_or("")
            ))
        })?;
        let dialect = self
            .dialect
            .as_deref()
            .map(|dialect| <Dialect as clap::ValueEnum>::from_str(dialect, false));
        let unknown = || {
            wrong(format!(
                "unknown dialect '{}' (push-stream, nhpm or nchan)",
                self.dialect.as_deref().unwrap_or("")
            ))
        };
        let dialect = dialect.transpose().map_err(|_| unknown())?;
        Ok(Settled {
            url: self.url.clone(),
            pub_path: self.pub_path.clone(),
            sub_path: self.sub_path.clone(),
            stats_path: self.stats_path.clone(),
            mode,
            dialect,
            headers,
        })
    }

    /// The token; `None` if PUSHCTL_TOKEN is set, which takes precedence.
    fn token(&self, config: &Path, token_command: TokenCommand) -> anyhow::Result<Option<String>> {
        if variable(TOKEN_VARIABLE).is_some() {
            return Ok(None);
        }
        if let Some(file) = &self.token_file {
            let file = located(file, config);
            let token = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            warn_of_readers(&file);
            return Ok(Some(token.trim().to_owned()));
        }
        if token_command == TokenCommand::Skip && self.token_command.is_some() {
            return Ok(None);
        }
        let Some((program, args)) = self
            .token_command
            .as_deref()
            .and_then(<[String]>::split_first)
        else {
            return Ok(self.token.clone());
        };
        let output = Command::new(program)
            .args(args)
            .stdin(Stdio::inherit())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot run '{program}'"))?;
        anyhow::ensure!(
            output.status.success(),
            "'{program}' failed: {}",
            output.status
        );
        let token = String::from_utf8(output.stdout)
            .ok()
            .context("the token is not UTF-8")?;
        Ok(Some(token.trim().to_owned()))
    }
}

/// A path in the configuration: relative to the home directory with `~/`, else to the directory of
/// the file.
fn located(path: &Path, config: &Path) -> PathBuf {
    match (path.strip_prefix("~"), variable("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => config.parent().unwrap_or(Path::new("")).join(path),
    }
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

/// A file with secrets belongs to its owner alone.
fn warn_of_readers(path: &Path) {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o044 != 0) {
        let path = path.display();
        output::note(format_args!(
            "{path} holds a secret and can be read by other users (mend it with: chmod 600 {path})"
        ));
    }
}
