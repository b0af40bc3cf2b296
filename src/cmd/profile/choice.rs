//! The options that select a server.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Selection of the server, before the command or after it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerChoice {
    /// Server URL [default: http://127.0.0.1:9080]
    ///
    /// The path in the URL is a prefix of all paths. A server on a unix socket is unix:PATH, or
    /// unix:PATH:/PREFIX. [env: PUSHCTL_URL]
    #[arg(short, long, value_name = "URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,
    /// Name of a server in the configuration file
    ///
    /// The command line overrides the environment, which overrides the file: --url or --server,
    /// PUSHCTL_URL, PUSHCTL_SERVER, 'default' in the file. PUSHCTL_TOKEN overrides the token in the
    /// file. [env: PUSHCTL_SERVER]
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub server: Option<String>,
    /// Configuration file with named servers [default: ~/.config/pushctl/config.toml]
    ///
    /// 'pushctl servers --help' describes it. [env: PUSHCTL_CONFIG]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub config_file: Option<PathBuf>,
}

impl ServerChoice {
    /// This choice, completed by `outer`.
    #[must_use]
    pub fn within(&self, outer: &Self) -> Self {
        let named = if self.url.is_some() || self.server.is_some() {
            self
        } else {
            outer
        };
        Self {
            url: named.url.clone(),
            server: named.server.clone(),
            config_file: self
                .config_file
                .clone()
                .or_else(|| outer.config_file.clone()),
        }
    }

    /// True if no option was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.url.is_none() && self.server.is_none() && self.config_file.is_none()
    }
}
