//! A format: the encoder of a kind of follower, and the policy for them.

use super::encoder::Encoder;
use super::policy::FollowerPolicy;

/// The encoder of a kind of follower, and the policy for them. All followers of the kind share it.
#[derive(Debug)]
pub struct Format<E: ?Sized = dyn Encoder> {
    /// What is constant for the followers.
    pub policy: FollowerPolicy,
    /// Encodes their messages.
    pub encoder: E,
}
