//! `push_stream_padding_by_user_agent` (reference section 8.1). Stub: to be written.

/// The paddings of a location.
#[derive(Clone, Debug, Default)]
pub struct Paddings {}
