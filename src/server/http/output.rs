//! What a connection writes while it serves requests: responses, as far as the socket takes them, within their time.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use super::connection::{Connection, MAX_UNWRITTEN_BYTES, Over, Requests};

impl Requests<'_> {
    /// Writes what there is and ends the connection.
    pub(super) async fn close<T>(&mut self) -> Result<T, Over> {
        self.flush().await?;
        self.linger().await;
        Err(Over)
    }

    /// Writes all responses.
    pub(super) async fn flush(&mut self) -> Result<(), Over> {
        let mut written = 0;
        while written < self.out.len() {
            match self.connection.outlet.try_write(&self.out[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(_broken) => return Err(Over),
            }
        }
        if self.out.capacity() > MAX_UNWRITTEN_BYTES {
            self.out = Vec::new();
        }
        self.out.clear();
        Ok(())
    }

    async fn writable(&mut self) -> Result<(), Over> {
        self.cover(self.out.capacity()).map_err(|_| Over)?;
        let Connection { shard, key, outlet, site, .. } = &*self.connection;
        shard.set_deadline(*key, Some(site.limits.send_timeout));
        let written = poll_fn(|cx| {
            if shard.interruption(*key, false, cx).is_some() {
                return Poll::Ready(Err(Over));
            }
            outlet.poll_write_ready(cx).map_err(|_| Over)
        });
        let written = written.await;
        shard.set_deadline(*key, None);
        written
    }
}
