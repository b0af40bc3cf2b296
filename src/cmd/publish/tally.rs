//! Counts of a run of many messages, and their report.

use std::time::Duration;

use indicatif::HumanCount;
use serde_json::{Value, json};

use crate::client::Error;

/// Maximum number of rejections that are reported one by one; further ones are only counted.
const MAX_REJECTIONS: usize = 100;

/// Counts of a run.
#[derive(Debug, Default)]
pub struct PublishTally {
    /// `line` or `message`.
    pub unit: &'static str,
    /// Number of messages, if known.
    pub total: Option<u64>,
    /// Number of messages that the server acknowledged.
    pub acknowledged: u64,
    /// Number of the last message that was sent.
    pub last_sent: u64,
    /// Number of rejected messages.
    pub rejected: u64,
    /// The first rejections: the number of the message and the error.
    pub rejections: Vec<(u64, Error)>,
    /// Numbers of messages that were sent but have no response; they may be published or not.
    pub unanswered: Vec<u64>,
    /// Number of the first message that was not sent, if the run stopped early.
    pub next: Option<u64>,
}

impl PublishTally {
    /// Counts a rejected message.
    pub fn reject(&mut self, number: u64, error: Error) {
        self.rejected += 1;
        if self.rejections.len() < MAX_REJECTIONS {
            self.rejections.push((number, error));
        }
    }

    /// `41,233 of 100,000 acknowledged`
    #[must_use]
    pub fn progress(&self) -> String {
        let count = HumanCount(self.acknowledged);
        match self.total {
            Some(total) => format!("{count} of {} acknowledged", HumanCount(total)),
            None => format!("{count} acknowledged"),
        }
    }

    /// The counts of a run that failed, for an error message.
    #[must_use]
    pub fn describe_failure(&self) -> String {
        let mut text = self.progress();
        if !self.unanswered.is_empty() {
            let many = if self.unanswered.len() == 1 {
                "was"
            } else {
                "were"
            };
            text += &format!(
                "; {} {many} sent without a response, and may be published or not",
                self.ranges()
            );
        }
        if let Some(next) = self.next {
            text += &format!(
                "; nothing from {} {} on was sent",
                self.unit,
                HumanCount(next)
            );
        }
        if let Some((number, _)) = self.rejections.first() {
            if self.rejected > 1 {
                text += &format!(
                    "; {} were rejected, the first is",
                    HumanCount(self.rejected)
                );
                text += &format!(" {} {}", self.unit, HumanCount(*number));
            } else {
                text += &format!("; {} {} was rejected", self.unit, HumanCount(*number));
            }
        }
        text
    }

    /// `lines 41,234 to 41,300`
    fn ranges(&self) -> String {
        let ranges = self.unanswered_ranges();
        let plural = if self.unanswered.len() == 1 { "" } else { "s" };
        let words: Vec<String> = ranges
            .iter()
            .map(|(first, last)| {
                if first == last {
                    HumanCount(*first).to_string()
                } else {
                    format!("{} to {}", HumanCount(*first), HumanCount(*last))
                }
            })
            .collect();
        format!("{}{plural} {}", self.unit, words.join(", "))
    }

    fn unanswered_ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for number in &self.unanswered {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == *number => *last = *number,
                _ => ranges.push((*number, *number)),
            }
        }
        ranges
    }

    /// The counts of a run that succeeded.
    #[must_use]
    pub fn summary(&self, time: Duration) -> String {
        let seconds = time.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rate for human eyes"
        )]
        let rate = (self.acknowledged as f64 / seconds.max(1e-6)) as u64;
        let plural = if self.acknowledged == 1 { "" } else { "s" };
        format!(
            "{} message{plural} acknowledged in {seconds:.2} s ({} per second)",
            HumanCount(self.acknowledged),
            HumanCount(rate)
        )
    }

    /// The counts as JSON. `error` is the one that stopped the run early.
    #[must_use]
    pub fn to_json(&self, time: Duration, error: Option<&str>) -> String {
        let status = |error: &Error| match error {
            Error::Status { status, .. } | Error::Moved { status, .. } => Value::from(*status),
            _ => Value::Null,
        };
        let rejection = |(number, error): &(u64, Error)| {
            let reason = error.to_string();
            json!({self.unit: number, "status": status(error), "reason": reason})
        };
        json!({
            "acknowledged": self.acknowledged,
            "total": self.total,
            "refused": self.rejected,
            "refusals": self.rejections.iter().map(rejection).collect::<Vec<_>>(),
            "unanswered": self.unanswered_ranges(),
            "next": self.next,
            "seconds": (time.as_secs_f64() * 1e6).round() / 1e6,
            "error": error,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_described_with_their_counts() {
        let mut tally = PublishTally {
            unit: "line",
            total: Some(100_000),
            acknowledged: 41_233,
            ..PublishTally::default()
        };
        tally.reject(41_234, Error::Request("no".to_owned()));
        assert_eq!(
            tally.describe_failure(),
            "41,233 of 100,000 acknowledged; line 41,234 was rejected"
        );
        tally.unanswered = vec![41_235, 41_236, 41_240];
        tally.next = Some(41_241);
        tally.total = None;
        let expected = "41,233 acknowledged; lines 41,235 to 41,236, 41,240 were sent without \
                        a response, and may be published or not; \
            nothing from line 41,241 on was sent; line 41,234 was rejected";
        assert_eq!(tally.describe_failure(), expected);
    }
}
