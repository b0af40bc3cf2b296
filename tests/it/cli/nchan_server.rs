//! Debian's nginx with nchan, in all the modes that it has. `tests/run` installs it; without it
//! these tests fail.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Directory;
use crate::support::wait_until;

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
/// Locations by mode; `/sub` negotiates, and takes several channels.
const LOCATIONS: &str = "
    location /pub { nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 1000; }
    location /nchan_stub_status { nchan_stub_status; }
    location ~ ^/sub/(.*)$ { nchan_subscriber; nchan_channel_id $1; \
    nchan_channel_id_split_delimiter '/'; nchan_subscriber_timeout 2; }
    location ~ ^/newest/(.*)$ { nchan_subscriber; nchan_channel_id $1; \
    nchan_channel_id_split_delimiter '/'; nchan_subscriber_first_message newest; }
    location ~ ^/poll/(.*)$ { nchan_subscriber interval-poll; nchan_channel_id $1; }
    location ~ ^/batch/(.*)$ { nchan_subscriber longpoll; nchan_channel_id $1; \
    nchan_longpoll_multipart_response on; }
    location ~ ^/etag/(.*)$ { nchan_subscriber; nchan_channel_id $1; \
    nchan_subscriber_compound_etag_message_id on; }
    location ~ ^/raw/(.*)$ { nchan_subscriber http-raw-stream; nchan_channel_id $1; }
    location ~ ^/chunked/(.*)$ { nchan_subscriber chunked; nchan_channel_id $1; }
    location ~ ^/pubsub/(.*)$ { nchan_pubsub; nchan_channel_id $1; }";

/// A running nginx; it ends with this value.
pub(super) struct Nchan {
    child: Child,
    /// `ADDRESS:PORT`
    pub(super) address: String,
    directory: Directory,
}

impl Nchan {
    pub(super) fn start() -> Self {
        assert!(
            std::path::Path::new(MODULE).exists(),
            "these tests need nginx with nchan: run tests/run --install, or `apt-get install \
             nginx-light libnginx-mod-nchan`"
        );
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .to_string();
        let directory = Directory::new("nchan");
        let shown = directory.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {shown}/{kind};\n"))
            .concat();
        let text = format!(
            "load_module {MODULE};\npid {shown}/pid; error_log {shown}/error.log; worker_processes \
             1; daemon off;\n\
             events {{ worker_connections 1000; }}\nhttp {{ access_log off;\n\
             {temporary}server {{ listen {address};{LOCATIONS} }} }}\n"
        );
        directory.write("nginx.conf", &text);
        let child = spawn(directory.path());
        let nchan = Self {
            child,
            address,
            directory,
        };
        nchan.wait_until_it_listens();
        nchan
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn wait_until_it_listens(&self) {
        wait_until("nginx listens", || {
            TcpStream::connect(&self.address).is_ok()
        });
    }

    /// Reads its configuration again: subscribers are sent away, messages stay.
    pub(super) fn reload(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("nginx is our child");
    }

    /// Restarts nginx at once, without its messages.
    pub(super) fn restart(&mut self) {
        self.stop();
        self.child = spawn(self.directory.path());
        self.wait_until_it_listens();
    }

    /// Log lines of crashed workers.
    pub(super) fn alarms(&self) -> Vec<String> {
        let log =
            std::fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default();
        log.lines()
            .filter(|line| line.contains("exited on signal"))
            .map(str::to_owned)
            .collect()
    }

    fn stop(&mut self) {
        // The master ends its workers. It may have ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Drop for Nchan {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(folder: &Path) -> Child {
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .stderr(Stdio::null());
    command
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .spawn()
        .expect("nginx is installed (apt-get install nginx-light)")
}
