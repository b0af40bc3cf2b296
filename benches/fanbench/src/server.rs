//! Servers under test: started on their own core, on loopback and a free port, and terminated on
//! drop.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::machine::{SERVER_CORE, cores};
use crate::proc::Reading;

/// Path of nchan in Debian's package.
const NCHAN_MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
/// Time-out for the start of a server.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Time-out for the end of a server.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// The kind of a server, which determines paths and expectations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `pushctl serve` with its built-in locations.
    Pushctl,
    /// nginx with nchan.
    Nchan,
}

impl Kind {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pushctl => "pushctl",
            Self::Nchan => "nchan",
        }
    }
}

/// The command line of a server.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The binary of pushctl.
    pub pushctl: PathBuf,
    /// Further arguments of `pushctl serve`.
    pub arguments: Vec<String>,
    /// Pins the server to one core.
    pub pinned: bool,
    /// Stored messages per channel, for nchan.
    pub nchan_stored: usize,
}

/// A running server.
pub struct Server {
    /// Kind of the server.
    pub kind: Kind,
    /// Its address.
    pub address: SocketAddrV4,
    /// Its logs.
    pub directory: PathBuf,
    child: Child,
    keeps_directory: bool,
}

impl Server {
    /// Starts a server and waits until it accepts connections.
    ///
    /// # Errors
    /// Returns an error if it cannot be started.
    pub fn start(kind: Kind, setup: &Setup) -> Result<Self> {
        match kind {
            Kind::Pushctl => Self::pushctl(setup),
            Kind::Nchan => Self::nchan(setup),
        }
    }

    fn pushctl(setup: &Setup) -> Result<Self> {
        let directory = new_directory()?;
        let mut command = pinned(&setup.pushctl, setup.pinned);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(&setup.arguments);
        let child = spawn(&mut command, &directory)?;
        let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let mut server = Self {
            kind: Kind::Pushctl,
            address: any,
            directory,
            child,
            keeps_directory: false,
        };
        server.address = server.wait_until(|server| {
            let printed = fs::read_to_string(server.directory.join("stdout")).unwrap_or_default();
            printed
                .lines()
                .find_map(|line| line.strip_prefix("listening on http://")?.parse().ok())
        })?;
        Ok(server)
    }

    fn nchan(setup: &Setup) -> Result<Self> {
        let directory = new_directory()?;
        let address = free_address()?;
        fs::write(
            directory.join("nginx.conf"),
            nchan_configuration(&directory, address, setup.nchan_stored),
        )?;
        let mut command = pinned(Path::new("nginx"), setup.pinned);
        command
            .arg("-p")
            .arg(&directory)
            .arg("-c")
            .arg(directory.join("nginx.conf"));
        let child = spawn(&mut command, &directory)?;
        let mut server = Self {
            kind: Kind::Nchan,
            address,
            directory,
            child,
            keeps_directory: false,
        };
        server.wait_until(|server| TcpStream::connect(server.address).ok())?;
        Ok(server)
    }

    fn wait_until<T>(&mut self, mut ready: impl FnMut(&Self) -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(value) = ready(self) {
                return Ok(value);
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || start.elapsed() > START_TIMEOUT {
                let said = fs::read_to_string(self.directory.join("stderr")).unwrap_or_default();
                bail!(
                    "{} did not start ({ended:?}): {}",
                    self.kind.name(),
                    said.trim()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its current resource usage.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading::of(self.pid())
    }

    /// CPU time since its start.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Reading::cpu_of(self.pid())
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Keeps the logs when the server is dropped.
    pub fn keep_directory(&mut self) {
        self.keeps_directory = true;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed())
            && self.is_running()
        {
            // It may have exited already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let start = Instant::now();
        while self.is_running() && start.elapsed() < STOP_TIMEOUT {
            std::thread::sleep(Duration::from_millis(20));
        }
        if self.is_running() {
            eprintln!(
                "{} did not end within {STOP_TIMEOUT:?} and is killed",
                self.kind.name()
            );
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if !self.keeps_directory {
            drop(fs::remove_dir_all(&self.directory));
        }
    }
}

/// Checks that nchan can be measured here.
///
/// # Errors
/// Returns an error if nginx or the module is missing.
pub fn find_nchan() -> Result<()> {
    let has_nginx = Command::new("nginx")
        .arg("-v")
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let hint = "apt-get install nginx libnginx-mod-nchan";
    ensure!(has_nginx, "nginx is missing ({hint})");
    ensure!(
        Path::new(NCHAN_MODULE).exists(),
        "{NCHAN_MODULE} is missing ({hint})"
    );
    Ok(())
}

/// A command on the server's core, which is terminated with this program.
fn pinned(program: &Path, pinned: bool) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]);
    if pinned && cores() > 1 {
        command.args(["taskset", "-c", &SERVER_CORE.to_string()]);
    }
    command.arg(program);
    command
}

fn spawn(command: &mut Command, directory: &Path) -> Result<Child> {
    let file = |name| File::create(directory.join(name));
    command
        .stdin(Stdio::null())
        .stdout(file("stdout")?)
        .stderr(file("stderr")?)
        .env_remove("PUSHCTL_LOG");
    command
        .spawn()
        .context("cannot run setpriv and taskset (apt-get install util-linux)")
}

fn new_directory() -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!(
        "fanbench-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let directory = std::env::temp_dir().join(name);
    fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory)
}

fn free_address() -> Result<SocketAddrV4> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Configuration of nchan with publisher and subscriber locations only.
fn nchan_configuration(directory: &Path, address: SocketAddrV4, stored: usize) -> String {
    let at = directory.display();
    format!(
        "load_module {NCHAN_MODULE};
pid {at}/nginx.pid; error_log {at}/error.log crit; worker_processes 1; daemon off; \
         worker_rlimit_nofile 19900;
events {{ worker_connections 19000; }}
http {{ access_log off; keepalive_requests 100000000; tcp_nodelay on; nchan_shared_memory_size 512m;
  client_body_temp_path {at}/body; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; \
  uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
  server {{ listen {address} backlog=4096;
    location /pub {{ nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length \
    {stored};
      client_max_body_size 64k; client_body_buffer_size 64k; }}
    location ~ /sub/(.*) {{ nchan_subscriber; nchan_channel_id $1; nchan_subscriber_first_message \
    newest; }}
    location ~ /old/(.*) {{ nchan_subscriber; nchan_channel_id $1; nchan_subscriber_first_message \
    oldest; }} }} }}
"
    )
}
