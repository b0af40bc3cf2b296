//! Fields of a recorded step.

use super::matching::unhex;
use serde_json::Value;
use std::time::Duration;

pub(super) fn truth(value: &Value) -> bool {
    value
        .as_bool()
        .unwrap_or_else(|| value.as_u64().is_some_and(|number| number != 0))
}

pub(super) fn expect(want: &Value, got: bool, what: &str) -> Result<(), String> {
    if *want == got {
        Ok(())
    } else {
        Err(format!("{what}: {got}, want {want}"))
    }
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn bytes(value: &Value) -> Option<Vec<u8>> {
    if let Some(hex) = value["hex"].as_str() {
        Some(unhex(hex))
    } else if let Some(unit) = value["repeat"].as_str() {
        Some(
            unit.repeat(usize::try_from(value["length"].as_u64()?).ok()?)
                .into_bytes(),
        )
    } else {
        value.as_str().map(|text| text.as_bytes().to_vec())
    }
}

pub(super) fn idle(step: &Value) -> Duration {
    Duration::from_millis(step["idle_ms"].as_u64().unwrap_or(250))
}
