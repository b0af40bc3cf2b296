//! `pushctl serve`: runs a broker until a signal stops it.

mod access;
mod channels;
mod connections;
mod front;
mod hooks;
mod listen;
mod memory;
mod ready_file;
mod reload;
mod signals;
mod start;
mod systemd;
mod values;

use std::path::PathBuf;

use anyhow::Context;
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;

use channels::{ChannelOptions, SlowConsumerOptions};
use connections::{LimitOptions, TcpOptions, TimeoutOptions};
use listen::ListenOption;
use ready_file::ReadyFile;
use reload::Controller;
use signals::Signals;
use start::{
    announce, follow_parent, raise_descriptor_limit, warn_about_needless, warn_without_endpoints,
};

use values::set;

use super::args::more_options;
use super::exit::Usage;
use crate::server::config::source::nginx;
use crate::server::config::{BuiltinOptions, Config};
use crate::server::observe::panics;
use crate::server::{InheritedSocket, Server};

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
    listen: Vec<ListenOption>,
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
    config: Option<PathBuf>,
    /// Serve the push locations of this nginx.conf
    ///
    /// Replaces the built-in locations. Unsupported directives are listed on stderr, with file and
    /// line.
    #[arg(long, value_name = "FILE")]
    nginx_conf: Option<PathBuf>,
    /// Log level [default: info]
    ///
    /// LEVEL is off, error, warn, info or debug. The log goes to stderr. error_log in a
    /// configuration sets another destination and default level. [env: PUSHCTL_LOG]
    #[arg(long, value_name = "LEVEL", env = "PUSHCTL_LOG", hide_env = true)]
    log_level: Option<LevelFilter>,
    /// Write the addresses to this file once the server listens on them, one per line
    ///
    /// The file appears complete: a client that sees it can connect. It is removed when the server
    /// stops.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    ready_file: Option<PathBuf>,
    /// Number of threads that serve connections [default: one per core]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=64),
        hide_short_help = true
    )]
    shards: Option<u16>,
    /// Stop when the parent process, which has this id, ends
    #[arg(long, value_name = "PID", hide = true)]
    parent: Option<i32>,
    #[command(flatten)]
    access: access::AccessOptions,
    #[command(flatten)]
    front: front::FrontOptions,
    #[command(flatten)]
    memory: memory::MemoryOptions,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    channels: ChannelOptions,
    #[command(flatten)]
    slow_consumers: SlowConsumerOptions,
    #[command(flatten)]
    timeouts: TimeoutOptions,
    #[command(flatten)]
    hooks: hooks::HookOptions,
    #[command(flatten)]
    tcp: TcpOptions,
}

/// Runs a broker until a signal stops it.
///
/// # Errors
/// When the configuration is invalid or the server cannot listen on an address.
pub fn run(args: &Args) -> anyhow::Result<()> {
    crate::server::observe::error_log::init(args.log_level);
    // Before there are threads and further descriptors.
    let passed = systemd::passed_sockets();
    if let Some(parent) = args.parent {
        follow_parent(parent)?;
    }
    let mut config = args.load()?;
    crate::server::apply_process_settings(&config);
    args.apply(&mut config).map_err(Usage)?;
    if args.file().is_none() && args.listen.is_empty() && !passed.is_empty() {
        config.listen_on(passed.iter().map(|passed| passed.address().clone()));
    }
    panics::log_panics();
    raise_descriptor_limit(
        config.limits.max_connections,
        args.limits.max_connections.is_some(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(args, config, passed));
    // Does not wait for a blocked read, for example on a disk that hangs.
    runtime.shutdown_background();
    ended
}

/// Listens, announces the addresses, and serves until a signal stops the server.
async fn serve(args: &Args, config: Config, passed: Vec<InheritedSocket>) -> anyhow::Result<()> {
    let is_builtin = args.file().is_none();
    let has_endpoints = config.servers().iter().any(|server| server.has_endpoints());
    // Before the addresses are announced: from then on a signal must stop the server in order.
    let signals = Signals::new()?;
    let server = Server::bind(config, passed)?;
    systemd::report_unused(&server);
    let addresses = server
        .addresses()
        .context("cannot get the listening address")?;
    let ready_file = args
        .ready_file
        .as_deref()
        .map(|path| ReadyFile::write(path, &addresses))
        .transpose()?;
    announce(&addresses, is_builtin.then(|| args.access.hints()));
    warn_without_endpoints(has_endpoints);
    if is_builtin {
        args.access.log_warnings(&addresses);
    }
    tracing::info!("serving {}", server.served_counts());
    systemd::ready(&server.served_counts());
    let (commands, queue) = mpsc::channel(MAX_QUEUED_COMMANDS);
    let mut controller = Controller {
        args,
        commands: commands.clone(),
        ready_file,
    };
    tokio::select! {
        ended = server.run(queue) => Ok(ended?),
        never = controller.run(signals) => match never {},
        never = systemd::keep_watchdog(commands) => match never {},
    }
}

/// Maximum number of commands in the queue to the server.
const MAX_QUEUED_COMMANDS: usize = 4;

impl Args {
    /// Configuration file, if one is given.
    fn file(&self) -> Option<&PathBuf> {
        self.nginx_conf.as_ref().or(self.config.as_ref())
    }

    /// Loads the configuration file, or the built-in configuration without one.
    fn load(&self) -> anyhow::Result<Config> {
        let Some(path) = self.file() else {
            return Ok(Config::builtin_with(self.builtin()?));
        };
        let loaded = reload::log_notices(nginx::load(path, &self.front.import_options()))?;
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
    fn apply(&self, config: &mut Config) -> Result<(), String> {
        if !self.listen.is_empty() {
            let before = config.clone();
            listen::apply(&self.listen, config)?;
            listen::warn_about_hidden(&before, config);
        }
        set(&mut config.shards, self.shards);
        self.memory.apply(&mut config.broker);
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
