//! `pushctl serve`: runs a broker until it is told to end.

mod access;
mod hooks;
mod listen;
mod memory;
mod ready_file;
mod reload;
mod signals;
mod start;
mod systemd;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;

use access::clients;
use listen::ListenOption;
use ready_file::ReadyFile;
use reload::Steering;
use signals::Signals;
use start::{
    announce, follow_parent, raise_descriptor_limit, warn_about_needless, warn_without_endpoints,
};

use super::exit::Usage;
use crate::server::config::nginx::{FrontEnforces, ImportOptions};
use crate::server::config::web::{Clients, RealIp};
use crate::server::config::{BuiltinOptions, Config, SlowPolicy, nginx};
use crate::server::{Server, panics};

/// Arguments of `serve`. Limits that are not given are those of the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pushctl serve
  pushctl serve --listen 0.0.0.0:9080 --memory 2g --max-connections 500000
  pushctl serve --listen 127.0.0.1:0 --ready-file ready
  pushctl serve --nginx-conf /etc/nginx/nginx.conf

Signals:
  TERM, INT  end: subscribers get footers, 304 answers and close frames, requests that have begun \
  are answered, within
             --grace; told again: at once
  QUIT       the same without --grace: requests may take as long as their own limits allow
  HUP        read the configuration anew; a wrong file changes nothing. Connections, followers and \
  messages stay, but
             followers whose location or \"listen\" was taken out, which are ended properly
  USR1       open the files of access logs anew")]
pub struct Args {
    /// Address to listen on: ADDRESS:PORT (port 0: any free one), PORT, or unix:PATH; may be given
    /// several times
    ///
    /// Replaces the addresses of the configuration, each for all of its servers. OLD=NEW replaces
    /// one address (or port) of the configuration: at NEW its servers answer. [default:
    /// 127.0.0.1:9080]
    #[arg(long, short, value_name = "[OLD=]ADDR", value_parser = listen::parse)]
    listen: Vec<ListenOption>,
    /// Serve the push locations of this nginx configuration instead of the built-in ones
    ///
    /// Directives that pushctl does not serve are listed on stderr, with file and line.
    #[arg(long, value_name = "FILE")]
    nginx_conf: Option<PathBuf>,
    /// Serve this configuration instead of the built-in one: an nginx.conf, or the same in TOML
    /// (*.toml)
    ///
    /// What is given on the command line goes before the environment, and both before the file.
    #[arg(
        long,
        short,
        value_name = "FILE",
        env = "PUSHCTL_SERVE_CONFIG",
        conflicts_with = "nginx_conf"
    )]
    config: Option<PathBuf>,
    /// Believe the proxy at this address or network (or unix:) when X-Real-IP says for whom it
    /// asks; may be given several times
    ///
    /// Replaces set_real_ip_from and real_ip_header of the configuration. Address rules, logs and
    /// $remote_addr then see the clients behind the proxy; --max-connections-per-address still
    /// counts its connections.
    #[arg(long, value_name = "ADDR", value_parser = clients)]
    real_ip_from: Vec<Clients>,
    /// Serve push locations without these directives of the configuration, which pushctl does not
    /// enforce: the proxy that --real-ip-from names enforces them; `all`: every one
    ///
    /// Their locations accept requests from that proxy only; other clients get 403. `internal`:
    /// locations that are internal accept requests that the proxy has redirected to them. 'pushctl
    /// check --front' prints the configuration of such a proxy.
    #[arg(
        long,
        value_name = "DIRECTIVE",
        value_delimiter = ',',
        requires = "real_ip_from"
    )]
    front_enforces: Vec<String>,
    #[command(flatten)]
    access: access::AccessOptions,
    /// Threads that hold connections [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: Option<u16>,
    #[command(flatten)]
    memory: memory::MemoryOptions,
    /// Time that a stored message is kept [default: 30m]
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    message_ttl: Option<Duration>,
    /// Messages stored per channel; the oldest go when there are more [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_stored_messages: Option<u64>,
    /// Time without messages, publishing and subscribers after which a channel is forgotten
    /// [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    channel_inactivity: Option<Duration>,
    /// Channels at once; another one is answered with 403 [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_channels: Option<u64>,
    /// Bytes of a channel id; a longer one is answered with 400 [default: 1024]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    max_channel_id_length: Option<u64>,
    /// Channels in one request; more are answered with 400 [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_channels_per_request: Option<u32>,
    /// Lists of channels (`?id=ALL`, `?id=PREFIX*` at /channels-stats) that may wait until others
    /// are made; a further one is answered with 503 [default: 32]
    ///
    /// One is made at a time, beside the shards. Equal ones that wait count as one, and get the
    /// same answer.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_waiting_lists: Option<u32>,
    /// Subscriptions per channel; a further one is answered with 403 [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_subscribers_per_channel: Option<u64>,
    /// Bytes of a published message; a larger one is answered with 413 [default: 1m]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_body_size: Option<u64>,
    /// Bytes of a batch of messages in one request, each of at most --max-body-size; a larger one
    /// is answered with 413 [default: 64m]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_batch_size: Option<u64>,
    /// Bytes of a websocket message, or frame, from a client; a larger one closes with 1009
    /// [default: 4m]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_websocket_message_size: Option<u64>,
    /// Bytes of a request line with headers; more are answered with 400 or 414 [default: 32k]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_header_size: Option<u64>,
    /// Bytes kept per channel for followers that are behind, beyond the stored messages [default:
    /// 4m]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_lag: Option<u64>,
    /// What becomes of a follower that is further behind than that: it is dropped (disconnect), or
    /// it goes on with the oldest message that is kept (skip) or with the newest (latest) and is
    /// told how many it missed [default: disconnect]
    ///
    /// For the built-in locations; in a configuration the directive is pushctl_slow_consumer.
    #[arg(long, value_name = "POLICY", value_parser = slow_policy, conflicts_with_all = ["nginx_conf", "config"])]
    slow_consumer: Option<SlowPolicy>,
    /// Connections at once; a further one is answered with 503 and closed [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: Option<u32>,
    /// Connections of one address at once; a further one is answered with 503 and closed; 0: no
    /// limit [default: 0]
    ///
    /// A /64 network of IPv6 counts as one address. Unix sockets do not count. Behind a proxy all
    /// connections come from its address.
    #[arg(long, value_name = "N")]
    max_connections_per_address: Option<u32>,
    /// Time for all headers of a request; then the connection is closed [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    header_timeout: Option<Duration>,
    /// Time between two reads of a request's body, or of a websocket message; then the connection
    /// is closed [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    body_timeout: Option<Duration>,
    /// Bytes per second of a request's body or a websocket message, on average after the first
    /// --body-timeout; a slower one is cut off; 0: no limit [default: 512, or 0 with a
    /// configuration file]
    ///
    /// nginx has no such limit, so that a configuration file is served without it unless it is
    /// given here.
    #[arg(long, value_name = "SIZE", value_parser = size_or_none)]
    min_body_rate: Option<u64>,
    /// Time between two requests of a connection; then it is closed [default: 75s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    keepalive_timeout: Option<Duration>,
    /// Time after the last answer of a connection, or the close of a websocket, within which the
    /// client is to close it, too; 0: no wait [default: 2s]
    ///
    /// What it sends meanwhile is thrown away, 4 MiB at most; it keeps its place among
    /// --max-connections so long. A connection that is closed at once can take the last answer away
    /// from its client.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    linger_time: Option<Duration>,
    /// Time that a client may take nothing of what is sent to it; then it is dropped [default: 60s]
    ///
    /// To read slowly is enough: about 64 KiB within this time count as something.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    send_timeout: Option<Duration>,
    /// Time after a ping within which something has to come from a websocket; then it is dropped;
    /// 0: never [default: 60s]
    ///
    /// It does not run while more waits for the websocket than its socket takes: --send-timeout
    /// does. Not in locations with a message template, which do as the module does.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ping_timeout: Option<Duration>,
    #[command(flatten)]
    hooks: hooks::HookOptions,
    /// Time without traffic after which the kernel asks whether a client is there; 0: never
    /// [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    tcp_keepalive: Option<Duration>,
    /// Time between two such questions [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    tcp_keepalive_interval: Option<Duration>,
    /// Questions without an answer after which a connection is broken [default: 6]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=127))]
    tcp_keepalive_probes: Option<u32>,
    /// Time within which a client has to acknowledge what was sent; then the connection is broken;
    /// 0: as the system does [default: 2m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    tcp_user_timeout: Option<Duration>,
    /// Time that open connections get when the server ends; then they are cut [default: 5s]
    ///
    /// Holds for SIGTERM and SIGINT. After SIGQUIT requests may take as long as their own limits
    /// allow.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    grace: Option<Duration>,
    /// Write the addresses to this file once they are listened on, each on a line; it is removed at
    /// the end
    ///
    /// The file appears whole: whoever sees it can connect.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// End when this process, which must be our parent, does
    #[arg(long, value_name = "PID", hide = true)]
    parent: Option<i32>,
    /// What is logged: off, error, warn, info or debug [default: what error_log says, else info on
    /// stderr]
    #[arg(long, value_name = "LEVEL", env = "PUSHCTL_LOG")]
    log_level: Option<LevelFilter>,
}

/// Runs a broker until it is told to end.
///
/// # Errors
/// When the configuration is wrong or an address cannot be listened on.
pub fn run(args: &Args) -> anyhow::Result<()> {
    crate::server::error_log::init(args.log_level);
    // While there is no other thread, and no other descriptor of ours.
    let passed = systemd::passed_sockets();
    if let Some(parent) = args.parent {
        follow_parent(parent)?;
    }
    let is_builtin = args.file().is_none();
    let mut config = match args.file() {
        Some(path) => {
            let loaded = reload::told(nginx::load(path, &args.import_options()))?;
            warn_about_needless(&args.front_enforces, &loaded.left_to_front);
            loaded.config
        }
        None => Config::builtin_with(args.builtin()?),
    };
    crate::server::apply_process_settings(&config);
    args.apply(&mut config).map_err(Usage)?;
    if is_builtin && args.listen.is_empty() && !passed.is_empty() {
        config.listen_on(passed.iter().map(|passed| passed.address().clone()));
    }
    let has_endpoints = config.servers().iter().any(|server| server.has_endpoints());
    panics::log_panics();
    raise_descriptor_limit(
        config.limits.max_connections,
        args.max_connections.is_some(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(async {
        // Whoever has read where it listens may end it properly.
        let signals = Signals::new()?;
        let server = Server::bind(config, passed)?;
        systemd::report_unused(&server);
        let addresses = server.addresses().context("cannot ask for the address")?;
        let ready_file = args
            .ready_file
            .as_deref()
            .map(|path| ReadyFile::write(path, &addresses))
            .transpose()?;
        announce(&addresses, is_builtin);
        warn_without_endpoints(has_endpoints);
        if is_builtin {
            args.access.warn(&addresses);
        }
        tracing::info!("serving {}", server.served_counts());
        systemd::ready(&server.served_counts());
        let (orders, coming) = mpsc::channel(MAX_ORDERS);
        let mut steering = Steering {
            args,
            orders: orders.clone(),
            ready_file,
        };
        tokio::select! {
            ended = server.run(coming) => Ok(ended?),
            never = steering.run(signals) => match never {},
            never = systemd::keep_watchdog(orders) => match never {},
        }
    });
    // A file that is being read, of a disk that hangs, is not waited for.
    runtime.shutdown_background();
    ended
}

/// Orders that wait for the server.
const MAX_ORDERS: usize = 4;

impl Args {
    /// What the command line says about the proxy in front.
    fn import_options(&self) -> ImportOptions {
        ImportOptions {
            front_enforces: FrontEnforces(self.front_enforces.clone()),
            knows_front: !self.real_ip_from.is_empty(),
        }
    }

    /// The file of the configuration, if one is given.
    fn file(&self) -> Option<&PathBuf> {
        self.nginx_conf.as_ref().or(self.config.as_ref())
    }

    /// The options of the built-in configuration.
    fn builtin(&self) -> anyhow::Result<BuiltinOptions> {
        Ok(BuiltinOptions {
            slow_consumer: self.slow_consumer.unwrap_or_default(),
            web: self.access.web()?,
            browser_access: self.access.browser_access(),
        })
    }

    /// Puts what was given on the command line in the place of what the configuration says.
    fn apply(&self, config: &mut Config) -> Result<(), String> {
        fn set<T, U: TryFrom<T>>(target: &mut U, value: Option<T>) {
            if let Some(value) = value.and_then(|value| U::try_from(value).ok()) {
                *target = value;
            }
        }
        if !self.listen.is_empty() {
            let before = config.clone();
            listen::apply(&self.listen, config)?;
            listen::warn_about_hidden(&before, config);
        }
        set(&mut config.shards, self.shards);
        let broker = &mut config.broker;
        self.memory.apply(broker);
        set(&mut broker.message_ttl, self.message_ttl);
        set(&mut broker.channel_inactivity_time, self.channel_inactivity);
        broker.max_messages_stored_per_channel = self
            .max_stored_messages
            .or(broker.max_messages_stored_per_channel);
        broker.max_number_of_channels = self.max_channels.or(broker.max_number_of_channels);
        broker.max_channel_id_length = self.max_channel_id_length.or(broker.max_channel_id_length);
        broker.max_subscribers_per_channel = self
            .max_subscribers_per_channel
            .or(broker.max_subscribers_per_channel);
        let limits = &mut config.limits;
        if !self.real_ip_from.is_empty() {
            limits.real_ip = Some(RealIp::from_x_real_ip(self.real_ip_from.clone()).into());
        }
        limits.max_body_bytes = self.max_body_size.or(limits.max_body_bytes);
        set(&mut limits.max_batch_bytes, self.max_batch_size);
        set(
            &mut limits.max_channels_per_request,
            self.max_channels_per_request,
        );
        set(&mut limits.max_waiting_lists, self.max_waiting_lists);
        self.hooks.apply(limits);
        set(
            &mut limits.max_websocket_message_bytes,
            self.max_websocket_message_size,
        );
        set(&mut limits.max_header_bytes, self.max_header_size);
        set(&mut limits.max_lag_bytes, self.max_lag);
        set(&mut limits.max_connections, self.max_connections);
        set(
            &mut limits.max_connections_per_address,
            self.max_connections_per_address,
        );
        set(&mut limits.header_timeout, self.header_timeout);
        set(&mut limits.body_timeout, self.body_timeout);
        set(&mut limits.min_body_rate, self.min_body_rate);
        set(&mut limits.keepalive_timeout, self.keepalive_timeout);
        set(&mut limits.linger_time, self.linger_time);
        set(&mut limits.send_timeout, self.send_timeout);
        set(&mut limits.ping_timeout, self.ping_timeout);
        set(&mut limits.tcp.keepalive, self.tcp_keepalive);
        set(
            &mut limits.tcp.keepalive_interval,
            self.tcp_keepalive_interval,
        );
        set(&mut limits.tcp.keepalive_probes, self.tcp_keepalive_probes);
        set(&mut limits.tcp.user_timeout, self.tcp_user_timeout);
        set(&mut limits.grace, self.grace);
        Ok(())
    }
}

fn slow_policy(text: &str) -> Result<SlowPolicy, String> {
    SlowPolicy::from_name(text).ok_or_else(|| {
        format!(
            "expected {}",
            SlowPolicy::NAMES.map(|(name, _)| name).join(", ")
        )
    })
}

/// A size in bytes, with k, m or g for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1_u64),
    };
    let number = digits
        .parse::<u64>()
        .ok()
        .filter(|number| *number > 0)
        .and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| "expected a size such as 65536, 64k, 10m or 1g".to_owned())
}

/// As [`size`], or 0.
fn size_or_none(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { size(text) }
}

/// A time of at least a second, which is what the kernel counts in.
fn seconds(text: &str) -> Result<Duration, String> {
    duration(text)
        .ok()
        .filter(|time| time.as_secs() > 0)
        .ok_or_else(|| "expected a time of at least 1s".to_owned())
}

/// A time such as `500ms`, `30s` or `1m 30s`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    parsed.ok_or_else(|| "expected a time such as 500ms, 30s, 5m or 2h".to_owned())
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.as_secs() == 0 || duration.subsec_nanos() > 0 {
        return Err("expected a time of whole seconds, at least 1s".to_owned());
    }
    Ok(duration)
}
