//! Counts over time, in intervals that grow with the length of the run. Does no I/O.

use serde::{Deserialize, Serialize};

/// Initial width of an interval.
const STEP_NANOS: u64 = 100_000_000;
/// Maximum number of intervals; beyond it, pairs are merged.
const MAX_STEPS: usize = 600;

/// One interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeriesStep {
    /// Number of events.
    pub(super) count: u64,
    /// Sum of their latencies.
    pub(super) sum_nanos: u64,
    /// Their maximum latency.
    pub(super) max_nanos: u64,
}

/// Consecutive intervals from the start of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Series {
    pub(super) width_nanos: u64,
    pub(super) steps: Vec<SeriesStep>,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            width_nanos: STEP_NANOS,
            steps: Vec::new(),
        }
    }
}

impl SeriesStep {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
        self.max_nanos = self.max_nanos.max(other.max_nanos);
    }
}

impl Series {
    /// Adds an event `at` nanoseconds after the start.
    pub(super) fn record(&mut self, at: u64, latency_nanos: u64) {
        while at / self.width_nanos >= MAX_STEPS as u64 {
            self.widen();
        }
        let number = (at / self.width_nanos) as usize;
        if self.steps.len() <= number {
            self.steps.resize(number + 1, SeriesStep::default());
        }
        self.steps[number].add(SeriesStep {
            count: 1,
            sum_nanos: latency_nanos,
            max_nanos: latency_nanos,
        });
    }

    /// Adds the series of another process with the same start.
    pub(super) fn merge(&mut self, mut other: Self) {
        while self.width_nanos < other.width_nanos {
            self.widen();
        }
        while other.width_nanos < self.width_nanos {
            other.widen();
        }
        if self.steps.len() < other.steps.len() {
            self.steps.resize(other.steps.len(), SeriesStep::default());
        }
        self.steps
            .iter_mut()
            .zip(other.steps)
            .for_each(|(step, other)| step.add(other));
    }

    /// Returns the series with intervals of at least this width.
    pub(super) fn widened(mut self, width_nanos: u64) -> Self {
        while self.width_nanos < width_nanos {
            self.widen();
        }
        self
    }

    fn widen(&mut self) {
        self.width_nanos *= 2;
        let join = |pair: &[SeriesStep]| {
            let mut step = pair[0];
            pair[1..].iter().for_each(|other| step.add(*other));
            step
        };
        self.steps = self.steps.chunks(2).map(join).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_widen_and_merge_without_losing_anything() {
        let mut long = Series::default();
        let mut short = Series::default();
        (0..5000).for_each(|n| long.record(n * STEP_NANOS, n));
        (0..7).for_each(|n| short.record(n * STEP_NANOS, 9000 + n));
        assert!(long.steps.len() <= MAX_STEPS && long.width_nanos > STEP_NANOS);
        let mut other = short.clone();
        other.merge(long.clone());
        long.merge(short);
        assert_eq!(long, other);
        assert_eq!(long.steps.iter().map(|step| step.count).sum::<u64>(), 5007);
        assert_eq!(
            long.steps.iter().map(|step| step.max_nanos).max(),
            Some(9006)
        );
    }
}
