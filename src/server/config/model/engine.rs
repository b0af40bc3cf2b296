//! The engine of the broker, which acknowledges what is published.

#[cfg(debug_assertions)]
use std::str::FromStr;
#[cfg(debug_assertions)]
use std::time::Duration;

/// The engine that keeps the messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// In memory: a message is acknowledged as it is published.
    #[default]
    Memory,
    /// In memory, but acknowledged late, with errors or never. Not in release builds.
    #[cfg(debug_assertions)]
    Test(TestEngineSettings),
}

/// What the test engine does with requests.
#[cfg(debug_assertions)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestEngineSettings {
    /// Minimum time until a request is carried out.
    pub min_delay: Duration,
    /// Maximum time; requests for different channels may overtake each other.
    pub max_delay: Duration,
    /// Every message whose number is a multiple of this one is rejected; `None` = none.
    pub error_interval: Option<u64>,
    /// Messages to channels whose id begins with this prefix are never acknowledged.
    pub never_prefix: Option<Vec<u8>>,
    /// Channels whose id begins with this prefix are never opened.
    pub never_opens_prefix: Option<Vec<u8>>,
    /// Events of the broker are delayed, too.
    pub delays_events: bool,
}

#[cfg(debug_assertions)]
impl FromStr for TestEngineSettings {
    type Err = String;

    /// Reads settings such as `delay=1ms..9ms,error=every:7`, `never` or `never=PREFIX`,
    /// `open=never` or `open=never:PREFIX`, `events`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut settings = Self::default();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "delay" => {
                    let (min, max) = value.split_once("..").unwrap_or((value, value));
                    settings.min_delay = milliseconds(min)?;
                    settings.max_delay = milliseconds(max)?.max(settings.min_delay);
                }
                "error" => {
                    let interval = value.strip_prefix("every:").and_then(|n| n.parse().ok());
                    let interval = interval.filter(|interval| *interval > 0);
                    settings.error_interval = Some(interval.ok_or_else(|| invalid(part))?);
                }
                "never" => settings.never_prefix = Some(value.into()),
                "events" if value.is_empty() => settings.delays_events = true,
                "open" => {
                    let prefix = value.strip_prefix("never").ok_or_else(|| invalid(part))?;
                    let prefix = prefix.strip_prefix(':').unwrap_or(prefix);
                    settings.never_opens_prefix = Some(prefix.into());
                }
                _ => return Err(invalid(part)),
            }
        }
        Ok(settings)
    }
}

#[cfg(debug_assertions)]
fn milliseconds(text: &str) -> Result<Duration, String> {
    let number = text
        .strip_suffix("ms")
        .and_then(|number| number.parse().ok());
    number
        .map(Duration::from_millis)
        .ok_or_else(|| invalid(text))
}

#[cfg(debug_assertions)]
fn invalid(part: &str) -> String {
    format!("invalid setting of the test engine: {part}")
}
