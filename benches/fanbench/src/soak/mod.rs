//! `soak`: a long run of churn and faults in all modes, with a ledger that checks every message of
//! every client. Fails if a message is lost, duplicated, reordered or damaged, if a well-behaved
//! client is rejected, or if the server grows.
//!
//! `ledger`: published messages, and their valid successors
//! `client`, `wire`: subscribers; `publisher`, `vandal`: clients that publish, delete and misbehave
//! `watch`: memory, descriptors and channels per second; `sabotage`: faults injected here, to check
//! that they are detected

mod client;
mod ledger;
mod publisher;
mod sabotage;
mod vandal;
mod watch;
mod wire;

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::context::{Context, PATIENCE};
use crate::net::{Net, Ready};
use crate::report::{Table, number};
use crate::server::{Kind, Server, Setup};
use client::Client;
use ledger::Ledger;
use publisher::Publisher;
use sabotage::{Fault, Sabotage};
use vandal::Vandal;
use watch::{Growth, State, Watch};

/// Stored messages per channel.
const MAX_STORED: u64 = 1000;
/// Lifetime of a stored message.
const TTL: Duration = Duration::from_secs(20);
/// Number of faults after which a run ends early.
const MOST_FAULTS: usize = 20;
/// First token of publishers and vandals; those of clients start at 0.
const PUBLISHERS: u64 = 1 << 32;
const VANDALS: u64 = 1 << 33;

/// Options of `soak`.
#[derive(Args, Debug)]
pub struct Options {
    /// Seconds of churn
    #[arg(long, default_value_t = 1800)]
    seconds: u64,
    /// Seconds after which nothing must grow; a third of --seconds, at most 300, by default
    #[arg(long)]
    warm_up: Option<u64>,
    /// Clients; the modes take turns
    #[arg(long, default_value_t = 300)]
    clients: usize,
    /// Channels; a quarter of them are deleted from time to time
    #[arg(long, default_value_t = 8)]
    channels: usize,
    /// Messages per second on each channel
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Clients that misbehave
    #[arg(long, default_value_t = 20)]
    vandals: usize,
    /// Seed of all random choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Damage one received message, to check that the ledger detects it
    #[arg(long)]
    sabotage: Option<Fault>,
}

/// Runs the soak.
///
/// # Errors
/// Returns an error if a condition fails.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    let mut server = Server::start(Kind::Pushctl, &setup(context))?;
    let pid = server.pid();
    let address = server.address;
    let before = State::read(pid, address)?;
    let mut soak = Soak::new(options, address)?;
    let watch = Watch::start(pid, address);
    let churned = soak.churn(Duration::from_secs(options.seconds), &mut server);
    let states = watch.end()?;
    let finished = churned.and_then(|()| soak.finish(&mut server));
    if finished.is_err() || !soak.faults.is_empty() {
        server.keep_directory();
        let path = server.directory.join("faults.log");
        fs::write(&path, soak.faults.join("\n\n"))?;
        eprintln!(
            "faults and histories: {}; the server's log is in the same directory",
            path.display()
        );
    }
    finished?;
    soak.leave();
    let after = settle(pid, address, &before)?;
    let warm_up = options.warm_up.unwrap_or((options.seconds / 3).min(300));
    let growth = Growth::of(&states, usize::try_from(warm_up)?);
    report(
        context,
        options,
        &soak,
        &[
            ("before", before),
            ("after the warm-up", growth.warm),
            ("at the end", growth.end),
            ("all gone", after),
        ],
    )?;
    ensure!(soak.faults.is_empty(), "{} faults", soak.faults.len());
    growth.check()?;
    ensure!(
        after.subscribers == 0.0 && after.channels == 0.0,
        "subscribers or channels are left: \
        {after:?}"
    );
    ensure!(
        after.descriptors <= before.descriptors + 5.0,
        "descriptors are left: {} instead of \
                                                            {}",
        after.descriptors,
        before.descriptors
    );
    println!("ok: 0 lost, 0 duplicated, 0 reordered");
    Ok(())
}

fn setup(context: &Context) -> Setup {
    let mut setup = Setup {
        pinned: false,
        ..context.setup()
    };
    let fixed = format!(
        "--shards 2 --max-stored-messages {MAX_STORED} --message-ttl {}s --channel-inactivity 5s \
         --send-timeout 5s \
--header-timeout 5s --body-timeout 5s",
        TTL.as_secs()
    );
    // Options of the command line come last; an option may not be repeated.
    let given = &setup.arguments;
    let words: Vec<&str> = fixed.split_whitespace().collect();
    let own: Vec<String> = words
        .chunks(2)
        .filter(|pair| !given.iter().any(|word| word == pair[0]))
        .flatten()
        .map(|&word| word.to_owned())
        .collect();
    setup.arguments.splice(0..0, own);
    setup
}

/// All participants of the soak.
struct Soak {
    net: Net,
    address: SocketAddrV4,
    ledger: Ledger,
    clients: Vec<Client>,
    publishers: Vec<Publisher>,
    vandals: Vec<Vandal>,
    sabotage: Sabotage,
    faults: Vec<String>,
    ready: Vec<Ready>,
    buffer: Vec<u8>,
}

impl Soak {
    fn new(options: &Options, address: SocketAddrV4) -> Result<Self> {
        let Options {
            clients,
            channels,
            rate,
            vandals,
            seed,
            ..
        } = *options;
        Ok(Self {
            net: Net::new()?,
            address,
            ledger: Ledger::new(seed, channels, channels / 4, MAX_STORED, TTL),
            clients: (0..clients)
                .map(|number| Client::new(number, channels, seed))
                .collect(),
            publishers: (0..channels)
                .map(|channel| Publisher::new(channel, PUBLISHERS + channel as u64, rate, seed))
                .collect(),
            vandals: (0..vandals as u64)
                .map(|number| Vandal::new(VANDALS + number, seed))
                .collect(),
            sabotage: Sabotage::new(options.sabotage),
            faults: Vec::new(),
            ready: Vec::new(),
            buffer: vec![0; 1 << 16],
        })
    }

    /// Runs all participants for this time.
    fn churn(&mut self, time: Duration, server: &mut Server) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            ensure!(
                server.is_running(),
                "the server ended: see stderr in {}",
                server.directory.display()
            );
            ensure!(
                self.faults.len() < MOST_FAULTS,
                "{} faults, giving up",
                self.faults.len()
            );
            let net = &self.net;
            let now = Instant::now();
            for publisher in &mut self.publishers {
                publisher.tick(net, self.address, &mut self.ledger, false)?;
            }
            for vandal in &mut self.vandals {
                vandal.tick(net, self.address, now)?;
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Publishes a last message on each channel; then every client must receive all missing
    /// messages.
    fn finish(&mut self, server: &mut Server) -> Result<()> {
        self.vandals.iter_mut().for_each(Vandal::end);
        let start = Instant::now();
        while self.publishers.iter().any(|publisher| !publisher.is_idle())
            || start.elapsed() < Duration::from_millis(500)
        {
            ensure!(start.elapsed() < PATIENCE, "a publish has no response");
            self.turn()?;
        }
        self.clients.iter_mut().for_each(Client::finish);
        let mut last_sent = false;
        while !last_sent || !self.clients.iter().all(Client::is_done) {
            if !last_sent && start.elapsed() > Duration::from_secs(2) {
                last_sent = true;
                for publisher in &mut self.publishers {
                    publisher.tick(&self.net, self.address, &mut self.ledger, true)?;
                    last_sent &= !publisher.is_idle();
                }
            }
            if start.elapsed() > PATIENCE || !server.is_running() {
                let rest: Vec<&Client> = self
                    .clients
                    .iter()
                    .filter(|client| !client.is_done())
                    .collect();
                for client in rest {
                    self.faults.push(describe(
                        client,
                        &format!("lost: {}", client.missing(&self.ledger)),
                    ));
                }
                bail!(
                    "not every client has everything; the server \
                       {}",
                    if server.is_running() { "runs" } else { "ended" }
                );
            }
            self.turn()?;
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.clients.iter_mut().for_each(Client::close);
        self.publishers.iter_mut().for_each(Publisher::close);
        self.vandals.iter_mut().for_each(Vandal::end);
    }

    fn turn(&mut self) -> Result<()> {
        let now = Instant::now();
        for client in &mut self.clients {
            client.tick(&self.net, self.address, &self.ledger, now);
        }
        let mut ready = std::mem::take(&mut self.ready);
        self.net.wait(Duration::from_millis(5), &mut ready)?;
        for event in &ready {
            self.event(*event)?;
        }
        self.ready = ready;
        Ok(())
    }

    fn event(&mut self, event: Ready) -> Result<()> {
        let nth = |first: u64| usize::try_from(event.token - first);
        if event.token >= VANDALS {
            return self.vandals[nth(VANDALS)?].event(&self.net, event, &mut self.buffer);
        }
        if event.token >= PUBLISHERS {
            let publisher = &mut self.publishers[nth(PUBLISHERS)?];
            if let Err(fault) =
                publisher.event(&self.net, event, &mut self.ledger, &mut self.buffer)
            {
                let fault = format!("publisher of channel {}: {fault}", publisher.channel);
                eprintln!("FAULT {fault}");
                self.faults.push(fault);
            }
            return Ok(());
        }
        let client = &mut self.clients[nth(0)?];
        if let Err(fault) = client.event(
            &self.net,
            event,
            &self.ledger,
            &mut self.sabotage,
            &mut self.buffer,
        ) {
            eprintln!("FAULT {}: {fault}", client.name());
            self.faults.push(describe(client, &fault));
            client.forgive();
        }
        Ok(())
    }
}

fn describe(client: &Client, fault: &str) -> String {
    let mut text = format!("{}: {fault}\n", client.name());
    for line in client.history() {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// Waits until the server has forgotten everything, for slightly longer than that may take.
fn settle(pid: u32, address: SocketAddrV4, before: &State) -> Result<State> {
    let start = Instant::now();
    loop {
        let state = State::read(pid, address)?;
        let is_clean = state.channels == 0.0
            && state.subscribers == 0.0
            && state.descriptors <= before.descriptors + 1.0;
        if is_clean || start.elapsed() > TTL + Duration::from_secs(40) {
            return Ok(state);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn report(
    context: &Context,
    options: &Options,
    soak: &Soak,
    states: &[(&str, State)],
) -> Result<()> {
    let Options {
        seconds,
        clients,
        channels,
        seed,
        ..
    } = options;
    let title = format!(
        "soak: {seconds} s, {clients} clients in all modes, {channels} channels, \
                         seed {seed}"
    );
    let mut table = Table::new(
        &title,
        &[
            "",
            "anonymous MiB",
            "RSS MiB",
            "descriptors",
            "channels",
            "subscribers",
            "stored messages",
        ],
    );
    for (name, state) in states {
        let State {
            anonymous_mib,
            rss_mib,
            descriptors,
            channels,
            subscribers,
            stored,
        } = state;
        let mut cells = vec![
            (*name).to_owned(),
            number(*anonymous_mib, 1),
            number(*rss_mib, 1),
        ];
        cells.extend([descriptors, channels, subscribers, stored].map(|count| number(*count, 0)));
        table.row(cells);
    }
    let sum = |count: fn(&Client) -> u64| soak.clients.iter().map(count).sum::<u64>();
    let deletions: u64 = soak
        .publishers
        .iter()
        .map(|publisher| publisher.deletions)
        .sum();
    let attacks: u64 = soak.vandals.iter().map(|vandal| vandal.attacks).sum();
    table.note(format!(
        "{} messages published, {} received and checked in {} attachments or polls, {deletions} \
         deletions, {attacks} bad clients",
        soak.ledger.published(),
        sum(|client| client.received),
        sum(|client| client.attachments)
    ));
    table.note(format!(
        "faults (lost, duplicated, reordered, damaged, refused): \
                        {}",
        soak.faults.len()
    ));
    table.finish(context)
}
