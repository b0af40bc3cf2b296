//! Log lines to a syslog server over UDP or a unix socket, in nginx's format (RFC 3164).

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use crate::message::{http_date, unix_now};
use crate::server::config::model::logs::{Syslog, SyslogAddress};

/// Maximum length of a datagram: nginx's maximum for errors, more than most syslog servers accept.
const MAX_BYTES: usize = 8 * 1024;

/// A connection to a syslog server, opened on demand and reopened after a failure.
#[derive(Debug)]
pub(in crate::server) struct SyslogSender {
    syslog: Arc<Syslog>,
    socket: Option<SyslogSocket>,
    has_failed: bool,
}

#[derive(Debug)]
enum SyslogSocket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl SyslogSender {
    /// Creates a sender; the socket is opened by [`SyslogSender::send`].
    #[must_use]
    pub(in crate::server) fn new(syslog: Arc<Syslog>) -> Self {
        Self {
            syslog,
            socket: None,
            has_failed: false,
        }
    }

    /// Sends a line without its line end.
    ///
    /// # Errors
    /// When sending fails; of consecutive failures only the first is returned.
    pub(in crate::server) fn send(&mut self, severity: u8, line: &[u8]) -> io::Result<()> {
        let datagram = datagram(&self.syslog, severity, line, unix_now());
        let sent = self.try_send(&datagram).or_else(|_| {
            // The syslog server may have been restarted.
            self.socket = None;
            self.try_send(&datagram)
        });
        match sent {
            Ok(()) => self.has_failed = false,
            Err(error) => {
                self.socket = None;
                if !std::mem::replace(&mut self.has_failed, true) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn try_send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if self.socket.is_none() {
            self.socket = Some(open(&self.syslog.address)?);
        }
        match &self.socket {
            Some(SyslogSocket::Udp(socket)) => socket.send(datagram).map(drop),
            Some(SyslogSocket::Unix(socket)) => socket.send(datagram).map(drop),
            None => Ok(()),
        }
    }
}

fn open(address: &SyslogAddress) -> io::Result<SyslogSocket> {
    match address {
        SyslogAddress::Udp(address) => {
            let any: SocketAddr = if address.is_ipv4() {
                ([0; 4], 0).into()
            } else {
                ([0_u16; 8], 0).into()
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(address)?;
            Ok(SyslogSocket::Udp(socket))
        }
        SyslogAddress::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            // A syslog server that does not read must not block the thread that logs.
            socket.set_nonblocking(true)?;
            Ok(SyslogSocket::Unix(socket))
        }
    }
}

/// Formats a datagram: `<190>Nov  1 08:00:00 host nginx: line`.
fn datagram(syslog: &Syslog, severity: u8, line: &[u8], unix_seconds: u64) -> Vec<u8> {
    let date = http_date(unix_seconds);
    // `Sun, 01 Nov 2026 08:00:00 GMT`
    let mut parts = date.split(' ').skip(1);
    let day = parts.next().unwrap_or_default();
    let month = parts.next().unwrap_or_default();
    let _ = parts.next();
    let time = parts.next().unwrap_or_default();
    let priority = u16::from(syslog.facility) * 8 + u16::from(severity);
    let host = if syslog.has_hostname {
        format!("{} ", crate::server::observe::hostname::hostname())
    } else {
        String::new()
    };
    let mut datagram = format!(
        "<{priority}>{month} {:>2} {time} {host}{}: ",
        day.trim_start_matches('0'),
        syslog.tag
    )
    .into_bytes();
    datagram.extend_from_slice(line);
    datagram.truncate(MAX_BYTES);
    datagram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_priority_time_host_and_tag() {
        let syslog = Syslog {
            address: SyslogAddress::Unix("/nowhere".into()),
            facility: 23,
            severity: 6,
            tag: "nginx".to_owned(),
            has_hostname: false,
        };
        // Sunday, 1 November 2026.
        let text = |syslog: &Syslog| {
            String::from_utf8(datagram(syslog, 6, b"a line", 1_793_520_000)).expect("UTF-8")
        };
        assert_eq!(text(&syslog), "<190>Nov  1 08:00:00 nginx: a line");
        let host = crate::server::observe::hostname::hostname();
        assert_eq!(
            text(&Syslog {
                has_hostname: true,
                ..syslog
            }),
            format!("<190>Nov  1 08:00:00 {host} nginx: a line")
        );
    }
}
