//! The ledger: all published messages, and whether a client received what it had to.

use std::time::{Duration, Instant};

/// Tolerance at the end of a message's life, when it may be stored or not: the server expires in
/// whole seconds.
const EXPIRY_SLACK: Duration = Duration::from_secs(2);
/// Characters of messages, including those that JSON escapes.
const LETTERS: [char; 16] = [
    'a',
    'b',
    'c',
    'd',
    'e',
    ' ',
    '"',
    '\\',
    '/',
    '\n',
    '\r',
    '\t',
    '<',
    '\u{e9}',
    '\u{4e2d}',
    '\u{1f600}',
];

/// One channel.
struct Log {
    /// Times at which message 1, 2, … was sent.
    sent: Vec<Instant>,
    /// The first message after each deletion of the channel.
    beginnings: Vec<u64>,
}

/// All channels; their messages are numbered from 1 on each.
pub(super) struct Ledger {
    seed: u64,
    max_stored: u64,
    ttl: Duration,
    mortal: usize,
    logs: Vec<Log>,
}

impl Ledger {
    /// The first `mortal` channels are deleted from time to time.
    pub(super) fn new(
        seed: u64,
        channels: usize,
        mortal: usize,
        max_stored: u64,
        ttl: Duration,
    ) -> Self {
        Self {
            seed,
            max_stored,
            ttl,
            mortal,
            logs: (0..channels)
                .map(|_| Log {
                    sent: Vec::new(),
                    beginnings: Vec::new(),
                })
                .collect(),
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.logs.len()
    }

    /// The newest message of a channel; 0 if there is none.
    pub(super) fn head(&self, channel: usize) -> u64 {
        self.logs[channel].sent.len() as u64
    }

    /// Messages published in all.
    pub(super) fn published(&self) -> u64 {
        (0..self.channels()).map(|channel| self.head(channel)).sum()
    }

    /// Records a message that is about to be sent; returns its number.
    pub(super) fn publish(&mut self, channel: usize) -> u64 {
        self.logs[channel].sent.push(Instant::now());
        self.head(channel)
    }

    /// Records the deletion of a channel: its messages are gone.
    pub(super) fn delete(&mut self, channel: usize) {
        let next = self.head(channel) + 1;
        self.logs[channel].beginnings.push(next);
    }

    /// The text of a message: quotes, backslashes, line ends and other alphabets included, from a
    /// few bytes to some KiB.
    pub(super) fn text(&self, channel: usize, number: u64) -> String {
        let mut random = fastrand::Rng::with_seed(self.seed ^ (channel as u64) << 48 ^ number);
        let length = if random.u8(..) < 8 {
            random.usize(2000..8000)
        } else {
            random.usize(0..300)
        };
        let mut text = format!("{channel} {number} ");
        while text.len() < length {
            text.push(random.choice(LETTERS).unwrap_or('x'));
        }
        text.push('.');
        text
    }

    /// Parses channel and number of a text, if it was published.
    pub(super) fn identify(&self, text: &str) -> Result<(usize, u64), String> {
        let mut words = text.split(' ');
        let channel = words.next().and_then(|word| word.parse().ok());
        let number = words.next().and_then(|word| word.parse().ok());
        let (Some(channel), Some(number)) = (channel, number) else {
            return Err(format!("not a message of this run: {text:?}"));
        };
        if channel >= self.channels() || number == 0 || number > self.head(channel) {
            return Err(format!(
                "message {number} of channel {channel} was never published"
            ));
        }
        let whole = self.text(channel, number);
        if whole != text {
            return Err(format!(
                "message {number} of channel {channel} is damaged: {text:?} instead \
                                of {whole:?}"
            ));
        }
        Ok((channel, number))
    }

    /// Checks that `number` may follow `last` for a client of a channel.
    pub(super) fn check(&self, channel: usize, last: u64, number: u64) -> Result<(), String> {
        if number <= last {
            let what = if number == last {
                "duplicated"
            } else {
                "duplicated or reordered"
            };
            return Err(format!(
                "{what}: message {number} of channel {channel} came after {last}"
            ));
        }
        if number == last + 1 || self.may_be_gone(channel, number - 1) {
            return Ok(());
        }
        Err(format!(
            "lost: messages {} to {} of channel {channel} (newest: \
                     {})",
            last + 1,
            number - 1,
            self.head(channel)
        ))
    }

    /// True if a client that received everything up to `last` may receive nothing more.
    pub(super) fn is_complete(&self, channel: usize, last: u64) -> bool {
        let head = self.head(channel);
        last >= head || self.may_be_gone(channel, head)
    }

    /// True if the message is certainly stored, so that its event id is a valid cursor (an unknown
    /// one means: new messages).
    pub(super) fn event_id_leads_on(&self, channel: usize, number: u64) -> bool {
        let is_new = self.age(channel, number) < self.ttl / 2
            && self.head(channel) - number < self.max_stored / 2;
        is_new && !self.is_mortal(channel)
    }

    /// True if the channel is deleted from time to time.
    pub(super) fn is_mortal(&self, channel: usize) -> bool {
        channel < self.mortal
    }

    /// Time since a message was sent.
    fn age(&self, channel: usize, number: u64) -> Duration {
        self.logs[channel].sent[usize::try_from(number).expect("it was counted") - 1].elapsed()
    }

    /// A message and all before need not be stored any more.
    fn may_be_gone(&self, channel: usize, number: u64) -> bool {
        self.age(channel, number) + EXPIRY_SLACK >= self.ttl
            || self.head(channel) - number >= self.max_stored
            || self.logs[channel].beginnings.contains(&(number + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(7, 1, 0, 5, Duration::from_secs(3600));
        for _ in 0..8 {
            ledger.publish(0);
        }
        ledger
    }

    #[test]
    fn what_is_stored_must_come_once_and_in_order() {
        let ledger = ledger();
        assert_eq!(ledger.check(0, 6, 7), Ok(()));
        assert!(
            ledger
                .check(0, 5, 7)
                .is_err_and(|fault| fault.starts_with("lost: messages 6 to 6"))
        );
        assert!(
            ledger
                .check(0, 7, 7)
                .is_err_and(|fault| fault.starts_with("duplicated:"))
        );
        assert!(
            ledger
                .check(0, 7, 5)
                .is_err_and(|fault| fault.starts_with("duplicated or reordered:"))
        );
        assert_eq!(ledger.check(0, 1, 4), Ok(()), "only 5 are stored: 4 to 8");
        assert!(ledger.check(0, 1, 5).is_err(), "message 4 was stored");
        assert!(ledger.is_complete(0, 8) && !ledger.is_complete(0, 7));
    }

    #[test]
    fn a_deletion_takes_what_was_before_and_nothing_else() {
        let mut ledger = ledger();
        ledger.delete(0);
        assert!(ledger.is_complete(0, 6));
        for _ in 0..2 {
            ledger.publish(0);
        }
        assert_eq!(ledger.check(0, 6, 9), Ok(()));
        assert!(
            ledger.check(0, 6, 10).is_err(),
            "message 9 came after the deletion"
        );
    }

    #[test]
    fn texts_are_recognised_and_damage_is_seen() {
        let ledger = ledger();
        let text = ledger.text(0, 3);
        assert_eq!(ledger.identify(&text), Ok((0, 3)));
        assert!(
            ledger
                .identify(&text.replace('.', ","))
                .is_err_and(|fault| fault.contains("damaged"))
        );
        assert!(
            ledger
                .identify("0 9 .")
                .is_err_and(|fault| fault.contains("never published"))
        );
    }
}
