//! `pushctl bench` against Debian's nchan, so that its results can be reproduced with another
//! server.
//!
//! Needs nginx and `libnginx-mod-nchan`, which `tests/run --install` installs.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::fake::run;
use crate::support::Directory;

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// An nginx with nchan; it ends with this value.
struct Nchan {
    child: Child,
    address: String,
    _directory: Directory,
}

impl Nchan {
    fn start() -> Self {
        assert!(
            Path::new(MODULE).exists(),
            "nginx with nchan is missing: run tests/run --install"
        );
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .to_string();
        let directory = Directory::new("nchan");
        let shown = directory.path().display();
        let configuration = format!(
            "load_module {MODULE};\npid {shown}/pid; error_log {shown}/error.log; worker_processes \
             1; daemon off;\n\
             events {{ worker_connections 1000; }}\n\
             http {{ access_log off; client_body_temp_path {shown}/body; proxy_temp_path \
             {shown}/p; fastcgi_temp_path {shown}/f;\n\
             uwsgi_temp_path {shown}/u; scgi_temp_path {shown}/s;\n\
             server {{ listen {address};\n\
             location /pub {{ nchan_publisher; nchan_channel_id $arg_id; }}\n\
             location /status {{ nchan_stub_status; }}\n\
             location ~ /sub/(.*) {{ nchan_subscriber; nchan_channel_id $1; \
             nchan_subscriber_first_message newest; }} }} }}\n"
        );
        let file = directory.write("nginx.conf", &configuration);
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::null());
        let nchan = Self {
            child: command.spawn().expect("nginx starts"),
            address,
            _directory: directory,
        };
        crate::support::wait_until("nginx listens", || {
            TcpStream::connect(&nchan.address).is_ok()
        });
        nchan
    }
}

impl Drop for Nchan {
    fn drop(&mut self) {
        // The master ends its workers.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn bench_measures_nchan_in_every_mode() {
    let nchan = Nchan::start();
    for (mode, size) in [("ev", "100"), ("ws", "1000"), ("lp", "100")] {
        let args = [
            "--mode",
            mode,
            "-n",
            "50",
            "--channels",
            "3",
            "--messages",
            "20",
            "--size",
            size,
            "--json",
            "--warm-up",
            "20ms",
        ];
        let server = [
            "bench",
            "--url",
            &nchan.address,
            "--pub-path",
            "/pub?id={channel}",
            "--sub-path",
            "/sub/{channel}",
        ];
        let outcome = run(&[&server, &args[..]].concat(), b"");
        let report: Value = serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|error| panic!("{mode}: {error}: {outcome:?}"));
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (0, ""),
            "{mode}: {}",
            outcome.stdout
        );
        for (key, value) in [
            ("published", 60),
            ("expected", 1000),
            ("delivered", 1000),
            ("lost", 0),
            ("duplicated", 0),
            ("corrupt", 0),
        ] {
            assert_eq!(report[key], value, "{mode}: {key}");
        }
    }
    let outcome = run(
        &[
            "stats",
            "--url",
            &nchan.address,
            "--stats-path",
            "/status",
            "--assert",
            "subscribers=0,published>=180",
        ],
        b"",
    );
    assert_eq!(
        (outcome.code, outcome.stderr.as_str()),
        (0, ""),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome.stdout.starts_with("hostname "),
        "{}",
        outcome.stdout
    );
}
