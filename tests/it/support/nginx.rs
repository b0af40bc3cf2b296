//! Debian's nginx as a child process, for comparison or in front of pushctl.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::{Connection, Directory, Socket, wait_until};

/// A running nginx, killed on drop.
pub(crate) struct Nginx {
    child: Child,
    port: u16,
    directory: Directory,
}

impl Nginx {
    /// Starts nginx with the content of an `http` block, in which `{{PORT}}` is its port.
    pub(crate) fn start(http: &str) -> Self {
        Self::start_with("", http)
    }

    /// As [`Nginx::start`], with these directives in the main block; `modules/` is Debian's folder
    /// of modules.
    pub(crate) fn start_with(main: &str, http: &str) -> Self {
        let directory = Directory::new("nginx");
        let path = directory.path().display().to_string();
        let port = super::free_port();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {path}/{kind};\n"))
            .concat();
        let text = format!(
            "{}daemon off;\nmaster_process off;\npid {path}/pid;\nerror_log {path}/error.log;\n\
             events {{}}\nhttp {{\naccess_log off;\n{temporary}{}\n}}\n",
            main.replace("modules/", "/usr/lib/nginx/modules/"),
            http.replace("{{PORT}}", &port.to_string())
        );
        let file = directory.write("nginx.conf", &text);
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .spawn()
            .expect("nginx is installed (apt-get install nginx)");
        let mut nginx = Self {
            child,
            port,
            directory,
        };
        wait_until("nginx listens", || {
            if let Ok(Some(status)) = nginx.child.try_wait() {
                let mut text = String::new();
                let stderr = nginx.child.stderr.take();
                stderr.into_iter().for_each(|mut stderr| {
                    drop(std::io::Read::read_to_string(&mut stderr, &mut text))
                });
                panic!("nginx does not start: {status}: {text}");
            }
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        nginx
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("nginx listens");
        stream.set_nodelay(true).expect("a socket takes options");
        Connection::new(Socket::Tcp(stream))
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
