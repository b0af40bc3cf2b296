//! Arguments of `serve`, and the configuration that they make.

use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use super::channels::{ChannelOptions, SlowConsumerOptions};
use super::connections::{LimitOptions, TcpOptions, TimeoutOptions};
use super::listen::{self, ListenOption};
use super::loading::log_notices;
use super::start::warn_about_needless;
use super::values::set;
use super::{access, front, hooks, memory};
use crate::cmd::args::more_options;
#[cfg(debug_assertions)]
use crate::server::config::EngineChoice;
use crate::server::config::source;
use crate::server::config::{BuiltinOptions, Config};

macro_rules! examples {
    () => {
        "Examples:
  pushctl serve
  pushctl serve --listen 0.0.0.0:9080 --memory 2g --max-connections 500000
  pushctl serve --nginx-conf /etc/nginx/nginx.conf"
    };
}

/// Arguments of `serve`. An option that is not given leaves the value of the configuration.
#[derive(Debug, clap::Args)]
#[command(
    after_help = concat!(examples!(), "\n\n", more_options!()),
    after_long_help = concat!(examples!(), "
  pushctl serve --listen 127.0.0.1:0 --ready-file ready

Values:
  SIZE  bytes, or with k, m or g: 65536, 64k, 10m, 1g
  TIME  seconds, or with a unit: 30, 500ms, 5m, 2h

Signals:
  TERM, INT  stop: subscribers get footers, 304 responses and close frames, and
             pending requests are served, within --grace; a second one stops at
             once
  QUIT       stop like TERM, without --grace: pending requests are limited by
             their own time-outs only
  HUP        reload the configuration; an invalid file changes nothing.
             Connections, followers and messages stay; only followers whose
             location or \"listen\" was removed are closed in an orderly way
  USR1       reopen the access logs"))]
pub struct Args {
    /// Address to listen on [default: 127.0.0.1:9080]
    ///
    /// ADDR is ADDRESS:PORT, PORT or unix:PATH; port 0 is any free port. Repeatable. Replaces the
    /// addresses of the configuration, each for all of its servers. OLD=NEW replaces one address
    /// (or port) of the configuration; its servers then listen on NEW.
    #[arg(long, short, value_name = "[OLD=]ADDR", value_parser = listen::parse)]
    pub(super) listen: Vec<ListenOption>,
    /// Configuration file, in TOML or as an nginx.conf
    ///
    /// A file in TOML is named *.toml. Replaces the built-in locations. Options override the
    /// environment, and both override the file. [env: PUSHCTL_SERVE_CONFIG]
    #[arg(
        long,
        short,
        value_name = "FILE",
        env = "PUSHCTL_SERVE_CONFIG",
        hide_env = true,
        conflicts_with = "nginx_conf"
    )]
    pub(super) config: Option<PathBuf>,
    /// Serve the push locations of this nginx.conf
    ///
    /// Replaces the built-in locations. Unsupported directives are listed on stderr, with file and
    /// line.
    #[arg(long, value_name = "FILE")]
    pub(super) nginx_conf: Option<PathBuf>,
    /// Log level [default: info]
    ///
    /// LEVEL is off, error, warn, info or debug. The log goes to stderr. error_log in a
    /// configuration sets another destination and default level. [env: PUSHCTL_LOG]
    #[arg(long, value_name = "LEVEL", env = "PUSHCTL_LOG", hide_env = true)]
    pub(super) log_level: Option<LevelFilter>,
    /// Write the addresses to this file once the server listens on them, one per line
    ///
    /// The file appears complete: a client that sees it can connect. It is removed when the server
    /// stops.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(super) ready_file: Option<PathBuf>,
    /// Number of threads that serve connections [default: one per core]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=64),
        hide_short_help = true
    )]
    pub(super) shards: Option<u16>,
    /// Stop when the parent process, which has this id, ends
    #[arg(long, value_name = "PID", hide = true)]
    pub(super) parent: Option<i32>,
    /// Acknowledge publishes late, with errors or never
    #[cfg(debug_assertions)]
    #[arg(
        long,
        value_name = "SPEC",
        env = "PUSHCTL_TEST_ENGINE",
        hide_env = true,
        hide = true
    )]
    test_engine: Option<crate::server::config::TestEngineSettings>,
    #[command(flatten)]
    pub(super) access: access::AccessOptions,
    #[command(flatten)]
    pub(super) front: front::FrontOptions,
    #[command(flatten)]
    pub(super) memory: memory::MemoryOptions,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
    #[command(flatten)]
    pub(super) channels: ChannelOptions,
    #[command(flatten)]
    pub(super) slow_consumers: SlowConsumerOptions,
    #[command(flatten)]
    pub(super) timeouts: TimeoutOptions,
    #[command(flatten)]
    pub(super) hooks: hooks::HookOptions,
    #[command(flatten)]
    pub(super) tcp: TcpOptions,
}

impl Args {
    /// Configuration file, if one is given.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        self.nginx_conf.as_ref().or(self.config.as_ref())
    }

    /// Loads the configuration file, or the built-in configuration without one.
    pub(super) fn load(&self) -> anyhow::Result<Config> {
        let Some(path) = self.file() else {
            return Ok(Config::builtin_with(self.builtin()?));
        };
        let loaded = log_notices(source::load(path, &self.front.import_options()))?;
        warn_about_needless(&self.front.front_enforces, &loaded.left_to_front);
        Ok(loaded.config)
    }

    /// Options of the built-in configuration.
    fn builtin(&self) -> anyhow::Result<BuiltinOptions> {
        Ok(BuiltinOptions {
            slow_consumer: self.slow_consumers.policy(),
            web: self.access.web()?,
            browser_access: self.access.browser_access(),
        })
    }

    /// Overrides settings of the configuration with the options that are given.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), String> {
        if !self.listen.is_empty() {
            let before = config.clone();
            listen::apply(&self.listen, config)?;
            listen::warn_about_hidden(&before, config);
        }
        set(&mut config.shards, self.shards);
        self.memory.apply(&mut config.broker);
        #[cfg(debug_assertions)]
        if let Some(settings) = &self.test_engine {
            config.broker.engine = EngineChoice::Test(settings.clone());
        }
        let limits = &mut config.limits;
        self.channels.apply(&mut config.broker, limits);
        self.front.apply(limits);
        self.limits.apply(limits);
        self.slow_consumers.apply(limits);
        self.timeouts.apply(limits);
        self.hooks.apply(limits);
        self.tcp.apply(&mut limits.tcp);
        Ok(())
    }
}
