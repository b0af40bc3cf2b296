//! The configuration file with named servers.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::choice::ServerChoice;
use super::credentials::{bearer, has_credentials};
use super::environment::{TOKEN_VARIABLE, variable};
use super::settled::Settled;
use super::token_command::TokenCommand;
use crate::client::Dialect;
use crate::client::mode::Mode;
use crate::cmd::exit::Usage;
use crate::cmd::output;

/// The configuration file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileFile {
    pub(super) default: Option<String>,
    #[serde(default)]
    pub(super) servers: BTreeMap<String, Profile>,
}

/// A named server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) url: String,
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

impl Profile {
    /// Checks the settings and gets the token. `name` and `path` are for errors.
    pub(super) fn settle(
        &self,
        name: &str,
        path: &Path,
        token_command: TokenCommand,
    ) -> anyhow::Result<Settled> {
        let invalid = |reason: String| {
            Usage(format!(
                "cannot use the server '{name}' of {}: {reason}",
                path.display()
            ))
        };
        self.check_single_token().map_err(invalid)?;
        if self.token.is_some() || !self.headers.is_empty() || has_credentials(&self.url) {
            warn_of_readers(path);
        }
        let mut headers = self.header_map().map_err(invalid)?;
        if let Some(token) = self
            .token(path, token_command)
            .with_context(|| format!("cannot get the token of the server '{name}'"))?
        {
            headers.insert(
                AUTHORIZATION,
                bearer(&token, &format!("the token of the server '{name}'"))?,
            );
        }
        let mut settled = Settled::new(self.url.clone(), headers);
        settled.pub_path.clone_from(&self.pub_path);
        settled.sub_path.clone_from(&self.sub_path);
        settled.stats_path.clone_from(&self.stats_path);
        settled.mode = self.mode().map_err(invalid)?;
        settled.dialect = self.dialect().map_err(invalid)?;
        Ok(settled)
    }

    fn check_single_token(&self) -> Result<(), String> {
        let given = [
            self.token.is_some(),
            self.token_file.is_some(),
            self.token_command.is_some(),
        ];
        if given.iter().filter(|is_given| **is_given).count() > 1 {
            return Err(
                "it has more than one token (keep one of token, token_file and token_command)"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn header_map(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (key, value) in &self.headers {
            let header: HeaderName = key
                .parse()
                .map_err(|_| format!("'{key}' is not a header name"))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| format!("the value of the header '{key}' has invalid characters"))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        Ok(headers)
    }

    fn mode(&self) -> Result<Option<Mode>, String> {
        self.mode
            .as_deref()
            .map(|mode| {
                <Mode as clap::ValueEnum>::from_str(mode, false)
                    .map_err(|_| format!("unknown mode '{mode}'"))
            })
            .transpose()
    }

    fn dialect(&self) -> Result<Option<Dialect>, String> {
        self.dialect
            .as_deref()
            .map(|dialect| {
                <Dialect as clap::ValueEnum>::from_str(dialect, false).map_err(|_| {
                    format!("unknown dialect '{dialect}' (push-stream, nhpm or nchan)")
                })
            })
            .transpose()
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

/// Path of the configuration file.
#[must_use]
pub fn path(choice: &ServerChoice) -> Option<PathBuf> {
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

pub(super) fn load(choice: &ServerChoice) -> anyhow::Result<Option<(PathBuf, ProfileFile)>> {
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

/// A path in the configuration: relative to the home directory with `~/`, else to the directory of
/// the file.
fn located(path: &Path, config: &Path) -> PathBuf {
    match (path.strip_prefix("~"), variable("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => config.parent().unwrap_or(Path::new("")).join(path),
    }
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
