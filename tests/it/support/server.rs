//! `pushctl serve` as a child process.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::child_output::{CollectedOutput, lines};
use super::ports::free_port;
use super::{Connection, DEADLINE, Directory, Response, Socket, wait_until};

/// A running server, killed on drop; [`Server::stop`] also checks its exit.
pub(crate) struct Server {
    child: Child,
    /// Its listening address, without `listening on `: `http://127.0.0.1:PORT` or `unix:PATH`.
    addresses: Vec<String>,
    stdout: Mutex<Receiver<String>>,
    stderr: CollectedOutput,
    stderr_reader: Option<JoinHandle<()>>,
    /// Its working directory, removed with the server.
    directory: Directory,
}

impl Server {
    /// Starts `pushctl serve` with `args`; without a `--listen` among them it listens on a free
    /// port of the loopback.
    pub(crate) fn start(args: &[&str]) -> Self {
        let listens = args.iter().filter(|arg| **arg == "--listen").count();
        let mut all = args.to_vec();
        if listens == 0 {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        Self::spawn(&all, listens.max(1), Directory::new("serve"))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Server::start`], with these variables in its environment.
    pub(crate) fn with_environment(variables: &[(&str, &str)], args: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.envs(variables.iter().copied());
        let args = [args, &["--listen", "127.0.0.1:0"]].concat();
        Self::spawn_command(command, &args, 1, Directory::new("serve"))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Server::start`], by a shell with that limit of open files.
    pub(crate) fn with_descriptors(limit: u64, args: &[&str]) -> Self {
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")])
            .arg(program());
        let args = [args, &["--listen", "127.0.0.1:0"]].concat();
        Self::spawn_command(command, &args, 1, Directory::new("serve"))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts `pushctl serve --nginx-conf FILE` with `text` in the file, where `{{PORT}}` is a free
    /// port.
    pub(crate) fn with_conf(text: &str) -> Self {
        Self::try_with_conf(text, &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As above with further arguments; the error is the reason why the server does not listen.
    pub(crate) fn try_with_conf(text: &str, args: &[&str]) -> Result<Self, String> {
        const TRIES: usize = 5;
        let mut tries = 0;
        loop {
            tries += 1;
            let directory = Directory::new("conf");
            let port = free_port().to_string();
            let file = directory.write("nginx.conf", &text.replace("{{PORT}}", &port));
            let mut all = vec![
                "--nginx-conf",
                file.to_str()
                    .expect("a temporary directory with a name in UTF-8"),
            ];
            all.extend(args);
            match Self::spawn(&all, 1, directory) {
                // Another process took the port between the search and the bind.
                Err(error) if tries < TRIES && error.contains("in use") => {}
                result => return result,
            }
        }
    }

    fn spawn(args: &[&str], listens: usize, directory: Directory) -> Result<Self, String> {
        Self::spawn_command(Command::new(program()), args, listens, directory)
    }

    fn spawn_command(
        mut command: Command,
        args: &[&str],
        listens: usize,
        directory: Directory,
    ) -> Result<Self, String> {
        command.stdin(Stdio::null());
        Self::spawn_with_stdin(command, args, listens, directory)
    }

    /// Starts `command`, which must become the program; its stdin is set.
    pub(crate) fn spawn_with_stdin(
        mut command: Command,
        args: &[&str],
        listens: usize,
        directory: Directory,
    ) -> Result<Self, String> {
        let mut child = command
            .arg("serve")
            .args(args)
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built binary can be started");
        let (stderr, reader) = CollectedOutput::of(child.stderr.take().expect("stderr is piped"));
        let stdout = Mutex::new(lines(child.stdout.take().expect("stdout is piped")));
        let mut server = Self {
            child,
            addresses: Vec::new(),
            stdout,
            stderr,
            stderr_reader: Some(reader),
            directory,
        };
        while server.addresses.len() < listens {
            let Some(line) = server.stdout_line() else {
                let _ = server.child.kill();
                let status = server.wait();
                return Err(format!(
                    "serve {args:?} does not listen: {status}\nstderr: {}",
                    server.stderr()
                ));
            };
            if let Some(address) = line.strip_prefix("listening on ") {
                server.addresses.push(address.trim_end().to_owned());
            }
        }
        Ok(server)
    }

    /// The next line of its stdout; `None` when it has closed stdout or prints nothing more.
    pub(crate) fn stdout_line(&self) -> Option<String> {
        self.stdout
            .lock()
            .expect("no thread panics with the lock")
            .recv_timeout(DEADLINE)
            .ok()
    }

    /// Where it runs.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Its listening addresses, in the order of the arguments.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Its (first) URL without a slash at the end, for `--url`.
    pub(crate) fn url(&self) -> &str {
        &self.addresses[0]
    }

    /// Its (first) `ADDRESS:PORT`.
    pub(crate) fn address(&self) -> &str {
        authority(&self.addresses[0])
    }

    /// Connects to the first address.
    pub(crate) fn connect(&self) -> Connection {
        connect(&self.addresses[0])
    }

    /// Connects with a small receive buffer, which fills soon if the client does not read.
    pub(crate) fn connect_with_small_window(&self) -> Connection {
        const SMALL: usize = 8192;
        let address: SocketAddr = self.address().parse().expect("an address with a port");
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            None,
        )
        .expect("a socket");
        socket
            .set_recv_buffer_size(SMALL)
            .expect("a small receive buffer");
        socket
            .connect(&address.into())
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        Connection::new(Socket::Tcp(socket.into()))
    }

    /// Connects to the address of that number.
    pub(crate) fn connect_to(&self, number: usize) -> Connection {
        connect(&self.addresses[number])
    }

    /// A socket connected to the first address.
    pub(crate) fn try_socket(&self) -> Result<Socket, String> {
        socket(&self.addresses[0])
    }

    /// GET on a separate connection.
    pub(crate) fn get(&self, path: &str) -> Response {
        self.connect().request("GET", path, &[], None)
    }

    /// Publishes on the built-in location and asserts success.
    pub(crate) fn publish(&self, channel: &str, text: impl AsRef<[u8]>) -> Response {
        let response = self.connect().request(
            "POST",
            &format!("/pub?id={channel}"),
            &[],
            Some(text.as_ref()),
        );
        assert_eq!(
            response.head.status, 200,
            "publish to {channel}: {response:?}"
        );
        response
    }

    /// Starts a subscription on a separate connection and returns it after its head, which must be
    /// 200.
    pub(crate) fn follow(&self, path: &str, headers: &[(&str, &str)]) -> Connection {
        let mut connection = self.connect();
        connection.send_request("GET", path, headers, None);
        let head = connection.read_head();
        assert_eq!(head.status, 200, "{path}: {head:?}");
        connection
    }

    /// Waits until `/channels-stats` shows that many subscribers of the channel.
    pub(crate) fn wait_for_subscribers(&self, channel: &str, count: u64) {
        wait_until(
            &format!("channel {channel} has {count} subscribers"),
            || self.subscribers(channel) == count,
        );
    }

    /// The number of subscribers of a channel as `/channels-stats` shows it; 0 when there is no
    /// such channel.
    pub(crate) fn subscribers(&self, channel: &str) -> u64 {
        let response = self.get(&format!("/channels-stats?id={channel}"));
        if response.head.status == 404 {
            0
        } else {
            super::object(&response.body)["subscribers"]
                .as_u64()
                .expect("subscribers is a number")
        }
    }

    /// Bytes of memory that the process has, as `/proc` shows it: `VmRSS` now, `VmHWM` at its peak.
    pub(crate) fn memory(&self, key: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
        let value = status.lines().find_map(|line| {
            line.strip_prefix(key)?
                .strip_prefix(':')?
                .trim()
                .strip_suffix(" kB")
        });
        value
            .and_then(|kibibytes| kibibytes.parse::<u64>().ok())
            .unwrap_or_else(|| panic!("no {key} in {status}"))
            * 1024
    }

    /// Hundredths of a second that the process has computed, as `/proc` counts them.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
        let (_, fields) = stat
            .rsplit_once(')')
            .expect("the name of the process is in brackets");
        fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("a number of ticks"))
            .sum()
    }

    /// Descriptors that the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .expect("the process is ours")
            .count()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .expect("the server is our child and not waited for");
    }

    /// Stops the process, as an overloaded machine or a debugger does, lets `clients` act, and
    /// continues the process when `length` has passed.
    pub(crate) fn pause<T>(&self, length: Duration, clients: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        self.signal(Signal::STOP);
        let path = format!("/proc/{}/stat", self.child.id());
        wait_until("the server is stopped", || {
            let stat = std::fs::read_to_string(&path).expect("the process is ours");
            stat.rsplit_once(") ")
                .is_some_and(|(_, fields)| fields.starts_with('T'))
        });
        let result = clients();
        std::thread::sleep(length.saturating_sub(begin.elapsed()));
        self.signal(Signal::CONT);
        result
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the server exits", || {
            status = self.child.try_wait().expect("the server is our child");
            status.is_some()
        });
        if let Some(reader) = self.stderr_reader.take() {
            reader.join().expect("the reader of stderr does not panic");
        }
        status.expect("wait_until saw a status")
    }

    /// Ends the server with SIGTERM and checks that it exits with status 0.
    pub(crate) fn stop(mut self) {
        self.terminate();
        let status = self.wait();
        assert!(
            status.success(),
            "after SIGTERM: {status}\nstderr: {}",
            self.stderr()
        );
    }

    /// Everything that it wrote to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- stderr of serve ({}):\n{}---",
                self.addresses.join(", "),
                self.stderr()
            );
        }
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The built program; `PUSHCTL_BIN` names another build to test, such as a release.
pub(crate) fn program() -> OsString {
    std::env::var_os("PUSHCTL_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_pushctl").into())
}

fn authority(url: &str) -> &str {
    url.strip_prefix("http://").expect("an address on TCP")
}

fn connect(address: &str) -> Connection {
    Connection::new(socket(address).unwrap_or_else(|error| panic!("{error}")))
}

fn socket(address: &str) -> Result<Socket, String> {
    let failed = |error| format!("cannot connect to {address}: {error}");
    if let Some(path) = address.strip_prefix("unix:") {
        return UnixStream::connect(path).map(Socket::Unix).map_err(failed);
    }
    let stream = TcpStream::connect(authority(address)).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(Socket::Tcp(stream))
}
