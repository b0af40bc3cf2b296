//! What a connection writes while it serves requests: responses, as far as the socket takes them, within their time.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::task::yield_now;

use super::access_log::Entry;
use super::connection::{Connection, MAX_UNWRITTEN_BYTES, Over, Requests, Served};
use super::sending::note;
use crate::server::response::{self, Body, Response};

/// Answers beyond this size are sent in parts, and others of the shard come between.
const MOST_AT_ONCE: u64 = 4 * MAX_UNWRITTEN_BYTES as u64;

impl Requests<'_> {
    /// Sends an answer, and ends the connection if it is the last one.
    pub(super) async fn answer(
        &mut self,
        response: Response,
        connection: response::Connection,
        mut log: Option<Box<Entry>>,
    ) -> Result<Option<Served>, Over> {
        self.held = 0;
        // The end may have begun while the request came in.
        let connection = response::Connection { keep_alive: connection.keep_alive && self.connection.goes_on(), ..connection };
        note(log.as_mut(), response.status.0, Some(if connection.is_head { 0 } else { response.body.len() }));
        let goes_on = if response.body.len() > MOST_AT_ONCE {
            Box::pin(self.send_in_parts(response, connection)).await?
        } else {
            let goes_on = response.write(connection, &mut self.out);
            // Its connection may linger.
            drop(response);
            goes_on
        };
        if goes_on { Ok(None) } else { self.close().await }
    }

    /// Sends an answer whose body is not copied as a whole; whether the connection can serve another request.
    async fn send_in_parts(&mut self, response: Response, connection: response::Connection) -> Result<bool, Over> {
        self.held = response.own_bytes();
        let (goes_on, framing) = response.write_head(connection, &mut self.out);
        match &response.body {
            _ if connection.is_head || response.bodiless => {}
            Body::Sized(body) => self.send_parts(body).await?,
            Body::Pieces(pieces) => {
                for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                    framing.begin(piece.len(), &mut self.out);
                    self.send_parts(piece).await?;
                    framing.end(&mut self.out);
                }
                framing.last(&mut self.out);
            }
        }
        self.held = 0;
        Ok(goes_on)
    }

    async fn send_parts(&mut self, bytes: &[u8]) -> Result<(), Over> {
        for part in bytes.chunks(MAX_UNWRITTEN_BYTES) {
            self.out.extend_from_slice(part);
            if self.out.len() >= MAX_UNWRITTEN_BYTES {
                self.flush().await?;
                yield_now().await;
            }
        }
        Ok(())
    }

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
