//! A message that a subscription delivers.

use super::marks::Step;
use super::sequence::Missing;

/// A message that was not received before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedMessage {
    /// How the message moves the marks.
    pub step: Step,
    /// The gap between the previous message of the channel and this one.
    pub missing: Option<Missing>,
}

impl From<Step> for AcceptedMessage {
    fn from(step: Step) -> Self {
        Self {
            step,
            missing: None,
        }
    }
}
