//! The distribution of latencies: histogram and percentile curve. Does no I/O.

use serde::{Deserialize, Serialize};

use super::results::Latencies;

/// A bar of the histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Bar {
    /// Exclusive lower bound in milliseconds.
    pub from_ms: f64,
    /// Inclusive upper bound in milliseconds.
    pub to_ms: f64,
    /// Number of deliveries.
    pub count: u64,
}

/// A point of the percentile curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Percentile {
    /// `0.99` for the 99th percentile.
    pub quantile: f64,
    /// Latency in milliseconds.
    pub ms: f64,
}

/// Bars with the bounds 1, 2, 5, 10 and so on, which show a long tail as well as the bulk.
pub(super) fn histogram(latencies: &Latencies) -> Vec<Bar> {
    let bound = |index: i32| {
        [1.0, 1.5, 2.0, 3.0, 5.0, 7.0][index.rem_euclid(6) as usize]
            * 10_f64.powi(index.div_euclid(6))
    };
    let mut bars: Vec<Bar> = Vec::new();
    // Network latencies are not below a microsecond.
    let mut index = -18;
    for (nanos, count) in latencies.counts() {
        let ms = nanos as f64 / 1e6;
        while bound(index + 1) < ms {
            index += 1;
            if !bars.is_empty() {
                bars.push(Bar {
                    from_ms: bound(index),
                    to_ms: bound(index + 1),
                    count: 0,
                });
            }
        }
        if bars.is_empty() {
            bars.push(Bar {
                from_ms: if index == -18 { 0.0 } else { bound(index) },
                to_ms: bound(index + 1),
                count: 0,
            });
        }
        if let Some(bar) = bars.last_mut() {
            bar.count += count;
        }
    }
    bars.into_iter()
        .map(|bar| Bar {
            from_ms: rounded(bar.from_ms),
            to_ms: rounded(bar.to_ms),
            count: bar.count,
        })
        .collect()
}

pub(super) fn percentiles(latencies: &Latencies) -> Vec<Percentile> {
    if latencies.len() == 0 {
        return Vec::new();
    }
    // Stops at the quantile of a single delivery.
    let finest = 1.0 - 1.0 / latencies.len() as f64;
    let coarse = (0..10).map(|tenth| f64::from(tenth) / 10.0);
    let fine = (1..8).flat_map(|digits| {
        [0.25, 0.5, 0.75, 1.0].map(|part| 1.0 - 10_f64.powi(-digits) * (1.0 - 0.9 * part))
    });
    let quantiles = coarse
        .chain(fine.filter(|quantile| *quantile <= finest))
        .chain([1.0]);
    quantiles
        .map(|quantile| Percentile {
            quantile: (quantile * 1e9).round() / 1e9,
            ms: latencies.milliseconds_at(quantile),
        })
        .collect()
}

/// Rounds to six places: clocks are not more exact.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_hold_everything_once() {
        let mut latencies = Latencies::default();
        [100_000, 120_000, 149_000, 2_500_000, 2_600_000, 90_000_000]
            .iter()
            .for_each(|nanos| latencies.record(*nanos));
        let bars = histogram(&latencies);
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), 6);
        assert!(
            bars.windows(2).all(|pair| pair[0].to_ms == pair[1].from_ms),
            "{bars:?}"
        );
        let full: Vec<_> = bars
            .iter()
            .filter(|bar| bar.count > 0)
            .map(|bar| (bar.from_ms, bar.to_ms, bar.count))
            .collect();
        assert_eq!(
            full,
            [
                (0.07, 0.1, 0),
                (0.1, 0.15, 3),
                (2.0, 3.0, 2),
                (70.0, 100.0, 1)
            ][1..]
        );
        assert_eq!(histogram(&Latencies::default()), []);
    }

    #[test]
    fn percentiles_rise_and_end_with_the_longest() {
        let mut latencies = Latencies::default();
        (1..=1000).for_each(|n| latencies.record(n * 1000));
        let curve = percentiles(&latencies);
        assert!(
            curve
                .windows(2)
                .all(|pair| pair[0].quantile < pair[1].quantile && pair[0].ms <= pair[1].ms),
            "{curve:?}"
        );
        assert_eq!(
            curve.last().map(|point| (point.quantile, point.ms)),
            Some((1.0, latencies.max()))
        );
    }
}
