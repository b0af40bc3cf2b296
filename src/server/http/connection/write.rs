//! Writing while a connection serves requests: responses, as fast as the socket accepts them and
//! within their time limit.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::task::yield_now;

use super::requests::{MAX_UNWRITTEN_BYTES, Requests, ServeOutcome};
use super::{Connection, Disconnected};
use crate::server::broker::Incident;
use crate::server::exchange::response::{Response, ResponseBody, ResponseContext};
use crate::server::http::log_entry::LogEntry;

impl Requests<'_> {
    /// Sends a response, and ends the connection if it is the last one.
    pub(in crate::server) async fn respond(
        &mut self,
        response: Response,
        connection: ResponseContext,
        log: Option<Box<LogEntry>>,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let keeps_alive = self.write_response(&response, connection, log);
        // Not held while the connection lingers.
        drop(response);
        if keeps_alive {
            Ok(None)
        } else {
            self.close().await
        }
    }

    /// Writes and logs a response. Returns whether the connection can serve another request.
    pub(in crate::server) fn write_response(
        &mut self,
        response: &Response,
        connection: ResponseContext,
        log: Option<Box<LogEntry>>,
    ) -> bool {
        let connection = self.begin_response(connection);
        let start = self.out.len();
        let keeps_alive = response.write(connection, &mut self.out);
        self.log(log, start, 0);
        keeps_alive
    }

    /// Returns how a response is sent.
    fn begin_response(&mut self, connection: ResponseContext) -> ResponseContext {
        self.held = 0;
        // The server may have begun to stop since the request was routed.
        ResponseContext {
            keep_alive: connection.keep_alive && self.connection.accepts_requests(),
            ..connection
        }
    }

    /// Logs the response that was written from `start` on, and of which so many bytes follow.
    pub(in crate::server) fn log(&self, log: Option<Box<LogEntry>>, start: usize, following: u64) {
        if let Some(mut log) = log {
            log.add_received(self.received);
            log.record_response(&self.out[start..], following);
        }
    }

    /// Sends a shared response part by part, so that other connections of the shard have their
    /// turns; returns whether the connection can serve another request.
    pub(in crate::server) async fn send_in_parts(
        &mut self,
        response: &Response,
        connection: ResponseContext,
        log: Option<Box<LogEntry>>,
    ) -> Result<bool, Disconnected> {
        let connection = self.begin_response(connection);
        let start = self.out.len();
        let (keeps_alive, framing) = response.write_head(connection, &mut self.out);
        let has_body = !connection.is_head && !response.bodiless;
        let body_bytes = if has_body {
            response.body.sent_bytes(framing)
        } else {
            0
        };
        self.log(log, start, body_bytes);
        match &response.body {
            _ if !has_body => {}
            ResponseBody::Sized(body) => self.send_parts(body).await?,
            ResponseBody::Pieces(pieces) => {
                for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                    framing.begin(piece.len(), &mut self.out);
                    self.send_parts(piece).await?;
                    framing.end(&mut self.out);
                }
                framing.last(&mut self.out);
            }
        }
        Ok(keeps_alive)
    }

    async fn send_parts(&mut self, mut bytes: &[u8]) -> Result<(), Disconnected> {
        loop {
            let room = MAX_UNWRITTEN_BYTES.saturating_sub(self.out.len());
            let (part, rest) = bytes.split_at(room.min(bytes.len()));
            self.out.extend_from_slice(part);
            if rest.is_empty() {
                return Ok(());
            }
            bytes = rest;
            self.flush().await?;
            yield_now().await;
        }
    }

    /// Writes all responses and ends the connection.
    pub(in crate::server) async fn close<T>(&mut self) -> Result<T, Disconnected> {
        self.flush().await?;
        self.linger().await;
        Err(Disconnected)
    }

    /// Writes all responses.
    pub(in crate::server) async fn flush(&mut self) -> Result<(), Disconnected> {
        let mut written = 0;
        while written < self.out.len() {
            match self.connection.outlet.try_write(&self.out[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => {
                    self.connection.record_failure(&error);
                    return Err(Disconnected);
                }
            }
        }
        if self.out.capacity() > MAX_UNWRITTEN_BYTES {
            self.out = Vec::new();
        }
        self.out.clear();
        Ok(())
    }

    /// Waits until the socket accepts data.
    async fn writable(&mut self) -> Result<(), Disconnected> {
        self.reserve(self.out.capacity())
            .map_err(|_| Disconnected)?;
        let connection = &*self.connection;
        let Connection {
            shard,
            key,
            outlet,
            snapshot,
            ..
        } = connection;
        shard.set_deadline(*key, Some(snapshot.limits.send_timeout));
        let written = poll_fn(|cx| {
            if shard
                .interruption(*key, false, || outlet.has_room(), cx)
                .is_some()
            {
                connection.record_end(Incident::SendTimeout);
                return Poll::Ready(Err(Disconnected));
            }
            outlet.poll_write_ready(cx).map_err(|_| Disconnected)
        });
        let written = written.await;
        shard.set_deadline(*key, None);
        written
    }
}
