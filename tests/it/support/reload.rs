//! Reloads: a new configuration file, SIGHUP, and the logged result.

use rustix::process::Signal;

use super::{Server, wait_until};

impl Server {
    /// Writes another text into the file that it was started with; `{{PORT}}` is its port.
    pub(crate) fn rewrite_conf(&self, text: &str) {
        let port = self
            .address()
            .rsplit(':')
            .next()
            .expect("an address with a port");
        self.directory()
            .write("nginx.conf", &text.replace("{{PORT}}", port));
    }

    /// Sends SIGHUP and waits for the logged result; true if the reload succeeded.
    pub(crate) fn reload(&self) -> bool {
        let before = self.reloads().len();
        self.signal(Signal::HUP);
        wait_until("the server logs the result of SIGHUP", || {
            self.reloads().len() > before
        });
        self.reloads()[before]
    }

    /// The same with another text in its file.
    pub(crate) fn reload_conf(&self, text: &str) -> bool {
        self.rewrite_conf(text);
        self.reload()
    }

    /// Result of each SIGHUP so far: true if it has reloaded.
    fn reloads(&self) -> Vec<bool> {
        let stderr = self.stderr();
        let complete = stderr.rfind('\n').map_or("", |end| &stderr[..end]);
        let outcome = |line: &str| {
            let failed = line.contains(" not reloaded: ") || line.contains(" nothing to reload: ");
            (failed || line.contains(" reloaded: serving ")).then_some(!failed)
        };
        complete.lines().filter_map(outcome).collect()
    }
}
