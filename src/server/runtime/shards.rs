//! The shards of a server: assigns accepted connections to their threads, reloads and stops them
//! together.

use std::sync::Arc;
use std::time::Duration;

use super::admission::Admission;
use super::generation::{Generation, ListenerNumber};
use super::server::ServerError;
use super::shard_thread::ShardThread;
use crate::server::broker::Broker;
use crate::server::config::ConnectionLimits;
use crate::server::http::Accepted;

/// All shards, and the connection counts by which they are chosen.
pub(in crate::server) struct Shards {
    threads: Vec<ShardThread>,
    admission: Arc<Admission>,
}

impl Shards {
    /// Starts the threads of all shards.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be started.
    pub(in crate::server) fn start(
        generation: &Arc<Generation>,
        broker: &Broker,
    ) -> Result<Arc<Self>, ServerError> {
        let config = &generation.config;
        let start = |index| {
            ShardThread::start(index, Arc::clone(generation), broker.clone())
                .map_err(ServerError::Shard)
        };
        let threads = (0..config.shards)
            .map(start)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Self {
            threads,
            admission: Admission::new(config.shards, &config.limits, broker.clone()),
        }))
    }

    /// Hands a connection to the shard with the fewest connections, or rejects it (503).
    pub(in crate::server) async fn assign(&self, accepted: Accepted, listener: ListenerNumber) {
        match self.admission.admit(accepted.source()) {
            Ok(admitted) => {
                self.threads[admitted.shard()]
                    .serve(accepted, listener, admitted)
                    .await
            }
            Err(_counted) => accepted.reject(),
        }
    }

    /// Applies new limits to connections that are accepted from now on.
    pub(in crate::server) fn apply_limits(&self, limits: &ConnectionLimits) {
        self.admission.apply(limits);
    }

    /// Applies a new configuration on all shards; returns when all of them use it.
    pub(in crate::server) async fn reload(&self, generation: &Arc<Generation>) {
        let reloads = self
            .threads
            .iter()
            .map(|thread| thread.reload(Arc::clone(generation)));
        futures_util::future::join_all(reloads).await;
    }

    /// Waits until every shard has handled a command.
    pub(in crate::server) async fn probe(&self) {
        for thread in &self.threads {
            thread.probe().await;
        }
    }

    /// Ends all connections, which get the `grace` period to finish, then the threads.
    pub(in crate::server) async fn stop(&self, grace: Duration) {
        self.threads.iter().for_each(|thread| thread.stop(grace));
        for thread in &self.threads {
            thread.wait_until_ended().await;
        }
    }
}
