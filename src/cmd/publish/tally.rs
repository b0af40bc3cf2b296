//! What became of many messages: counted while they go, told at the end.

use std::time::Duration;

use indicatif::HumanCount;
use serde_json::{Value, json};

use crate::client::Error;

/// Refused messages that are told one by one; the others are only counted.
const TOLD: usize = 100;

/// The state of the books.
#[derive(Debug, Default)]
pub struct Tally {
    /// `line` or `message`.
    pub unit: &'static str,
    /// How many there are, if known.
    pub total: Option<u64>,
    /// Taken by the server.
    pub acknowledged: u64,
    /// The number of the last one given to the network.
    pub last_sent: u64,
    /// How many were refused.
    pub refused: u64,
    /// The first of them.
    pub refusals: Vec<(u64, Error)>,
    /// Sent, but without an answer: nobody knows.
    pub unanswered: Vec<u64>,
    /// The first that was not sent, if something ended the work early.
    pub next: Option<u64>,
}

impl Tally {
    /// A message was refused.
    pub fn refuse(&mut self, number: u64, error: Error) {
        self.refused += 1;
        if self.refusals.len() < TOLD {
            self.refusals.push((number, error));
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

    /// What happened, when not everything went well.
    #[must_use]
    pub fn story(&self) -> String {
        let mut text = self.progress();
        if !self.unanswered.is_empty() {
            let many = if self.unanswered.len() == 1 {
                "was"
            } else {
                "were"
            };
            text += &format!(
                "; {} {many} sent and not answered, and may be published or not",
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
        if let Some((number, _)) = self.refusals.first() {
            if self.refused > 1 {
                text += &format!("; {} were refused, the first is", HumanCount(self.refused));
                text += &format!(" {} {}", self.unit, HumanCount(*number));
            } else {
                text += &format!("; {} {} was refused", self.unit, HumanCount(*number));
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

    /// All went well.
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

    /// Everything, for programs. `error` is what ended the work early.
    #[must_use]
    pub fn to_json(&self, time: Duration, error: Option<&str>) -> String {
        let status = |error: &Error| match error {
            Error::Status { status, .. } | Error::Moved { status, .. } => Value::from(*status),
            _ => Value::Null,
        };
        let told = |(number, error): &(u64, Error)| json!({self.unit: number, "status": status(error), "reason": error.to_string()});
        json!({
            "acknowledged": self.acknowledged,
            "total": self.total,
            "refused": self.refused,
            "refusals": self.refusals.iter().map(told).collect::<Vec<_>>(),
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
    fn the_story_names_what_is_known_and_what_is_not() {
        let mut tally = Tally {
            unit: "line",
            total: Some(100_000),
            acknowledged: 41_233,
            ..Tally::default()
        };
        tally.refuse(41_234, Error::Request("no".to_owned()));
        assert_eq!(
            tally.story(),
            "41,233 of 100,000 acknowledged; line 41,234 was refused"
        );
        tally.unanswered = vec![41_235, 41_236, 41_240];
        tally.next = Some(41_241);
        tally.total = None;
        let expected = "41,233 acknowledged; lines 41,235 to 41,236, 41,240 were sent and not \
                        answered, and may be published or not; \
            nothing from line 41,241 on was sent; line 41,234 was refused";
        assert_eq!(tally.story(), expected);
    }
}
