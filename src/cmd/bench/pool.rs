//! The subscribers of a run, in this process or in workers.

use super::results::{Results, Tally};
use super::subscribers::Subscribers;
use super::workers::WorkerProcess;

/// The subscribers of all processes.
pub(super) enum SubscriberPool {
    /// In this process.
    Here(Subscribers),
    /// In worker processes.
    Workers(Vec<WorkerProcess>),
}

impl SubscriberPool {
    /// Progress of all subscribers.
    pub(super) fn tally(&self) -> Tally {
        match self {
            Self::Here(subscribers) => subscribers.state.tally(),
            Self::Workers(workers) => workers
                .iter()
                .fold(Tally::default(), |sum, worker| sum.plus(&worker.tally())),
        }
    }

    /// Takes the first failure of a subscriber.
    pub(super) fn take_failure(&self) -> Option<anyhow::Error> {
        match self {
            Self::Here(subscribers) => subscribers.state.take_failure().map(anyhow::Error::new),
            Self::Workers(workers) => workers
                .iter()
                .find_map(WorkerProcess::take_failure)
                .map(anyhow::Error::new),
        }
    }

    /// Collects the results of all processes; `published` is the number of messages per channel.
    ///
    /// # Errors
    /// Returns an error if a worker has exited.
    pub(super) async fn collect_results(&self, published: &[u64]) -> anyhow::Result<Results> {
        match self {
            Self::Here(subscribers) => Ok(subscribers.collect_results(published)),
            Self::Workers(workers) => {
                let mut all = Results::default();
                for worker in workers {
                    all.merge(worker.collect_results(published).await?);
                }
                Ok(all)
            }
        }
    }
}
