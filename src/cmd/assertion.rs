//! `--assert`: conditions like `subscribers>=1,p99<50ms` on measured values. Pure.

use std::fmt;

use super::exit::Usage;
use super::output::figures::FigureKind;

/// Conditions that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions(Vec<Condition>);

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    field: String,
    comparison: Comparison,
    number: f64,
    unit: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    AtMost,
    Equal,
    Unequal,
    Above,
    Below,
}

/// Signs of the comparisons, longer ones first: `>=` before `>`.
const COMPARISONS: [(&str, Comparison); 7] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("==", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("=", Comparison::Equal),
    (">", Comparison::Above),
    ("<", Comparison::Below),
];

/// A value to which a condition applies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// In the unit of `kind`.
    pub number: f64,
    /// Its kind, which determines the unit.
    pub kind: FigureKind,
}

/// Parses conditions separated by commas: a field, a comparison, a number, and a unit for a time or
/// a size.
///
/// # Errors
/// The condition that is invalid.
pub fn parse(text: &str) -> Result<Conditions, String> {
    text.split(',')
        .map(|part| parse_one(part.trim()))
        .collect::<Result<_, _>>()
        .map(Conditions)
}

fn parse_one(text: &str) -> Result<Condition, String> {
    let wrong = || {
        format!(
            "'{text}' is not a condition (write for example subscribers>=1 or p99<50ms; a comma \
             means 'and')"
        )
    };
    let at = text.find(['<', '>', '=', '!']).ok_or_else(wrong)?;
    let field = text[..at].trim();
    let rest = &text[at..];
    let (sign, comparison) = COMPARISONS
        .iter()
        .find(|(sign, _)| rest.starts_with(sign))
        .ok_or_else(wrong)?;
    let value = rest[sign.len()..].trim();
    let end = value
        .find(|letter: char| letter.is_alphabetic() || letter == '%')
        .unwrap_or(value.len());
    let number: f64 = value[..end]
        .trim()
        .replace('_', "")
        .parse()
        .map_err(|_| wrong())?;
    if field.is_empty() || field.contains(char::is_whitespace) || !number.is_finite() {
        return Err(wrong());
    }
    Ok(Condition {
        field: field.to_owned(),
        comparison: *comparison,
        number,
        unit: value[end..].to_owned(),
    })
}

impl Conditions {
    /// Compares with the values that `find` returns, and returns a line for each condition that
    /// does not hold.
    ///
    /// # Errors
    /// [`Usage`] if a field is unknown (`fields` has the known ones), or a unit does not fit its
    /// field.
    pub fn failures(
        &self,
        fields: &[String],
        find: impl Fn(&str) -> Option<Value>,
    ) -> Result<Vec<String>, Usage> {
        let mut failures = Vec::new();
        for condition in &self.0 {
            let value = find(&condition.field).ok_or_else(|| {
                Usage(format!(
                    "cannot assert '{condition}': there is no field '{}'; there are: {}",
                    condition.field,
                    fields.join(", ")
                ))
            })?;
            if !condition
                .comparison
                .holds(value.number, condition.in_unit_of(value.kind)?)
            {
                failures.push(format!(
                    "'{condition}' does not hold: {} is {}",
                    condition.field,
                    shown(value)
                ));
            }
        }
        Ok(failures)
    }
}

impl Condition {
    /// The number in the unit of values of that kind.
    fn in_unit_of(&self, kind: FigureKind) -> Result<f64, Usage> {
        let unit = self.unit.to_ascii_lowercase();
        let milliseconds = match unit.as_str() {
            "ns" => Some(1e-6),
            "us" | "µs" | "μs" => Some(1e-3),
            "ms" => Some(1.0),
            "s" => Some(1e3),
            "m" | "min" => Some(60e3),
            "h" => Some(3600e3),
            "d" => Some(86_400e3),
            _ => None,
        };
        let power = match unit.trim_end_matches("ib").trim_end_matches('b') {
            "" => Some(0),
            "k" => Some(1),
            "m" => Some(2),
            "g" => Some(3),
            "t" => Some(4),
            _ => None,
        };
        let (factor, help) = match kind {
            FigureKind::Count => (
                power
                    .filter(|_| !unit.ends_with('b'))
                    .map(|power| 1e3_f64.powi(power)),
                "it counts; write a number, k or M",
            ),
            FigureKind::Bytes => (
                power.map(|power| 1024_f64.powi(power)),
                "it is a size; write a number, KiB, MiB or GiB",
            ),
            FigureKind::Milliseconds => (
                milliseconds,
                "it is a time; write it with a unit: us, ms, s, m",
            ),
            FigureKind::Seconds => (
                milliseconds.map(|factor| factor / 1e3),
                "it is a time; write it with a unit: ms, s, m, h",
            ),
        };
        let wrong = || {
            Usage(format!(
                "cannot assert '{self}': {} cannot be compared with that: {help}",
                self.field
            ))
        };
        factor.map(|factor| self.number * factor).ok_or_else(wrong)
    }
}

impl Comparison {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::AtLeast => left >= right,
            Self::AtMost => left <= right,
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::Above => left > right,
            Self::Below => left < right,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = COMPARISONS
            .iter()
            .rev()
            .find(|(_, comparison)| *comparison == self.comparison)
            .map_or("", |(sign, _)| sign);
        write!(
            formatter,
            "{}{sign}{}{}",
            self.field, self.number, self.unit
        )
    }
}

/// The exact value: a rounded `50.00` that is not below `50` would be confusing.
fn shown(value: Value) -> String {
    let unit = match value.kind {
        FigureKind::Count => "",
        FigureKind::Bytes => " bytes",
        FigureKind::Milliseconds => "ms",
        FigureKind::Seconds => "s",
    };
    format!("{}{unit}", value.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(text: &str) -> Result<Vec<String>, String> {
        let find = |name: &str| {
            let (number, kind) = match name {
                "subscribers" => (12_000.0, FigureKind::Count),
                "p99" => (50.5, FigureKind::Milliseconds),
                "uptime" => (90.0, FigureKind::Seconds),
                "memory_used" => (1_048_576.0, FigureKind::Bytes),
                _ => return None,
            };
            Some(Value { number, kind })
        };
        let fields = ["subscribers".to_owned(), "p99".to_owned()];
        parse(text)?
            .failures(&fields, find)
            .map_err(|usage| usage.0)
    }

    #[test]
    fn conditions_hold_or_tell_the_value() {
        for text in [
            "subscribers>=12000",
            "subscribers = 12k, p99<51ms",
            "subscribers!=1",
            "p99 > 50ms",
            "p99<=0.1s",
            "p99<1m",
            "uptime>1m",
            "memory_used<=1MiB",
            "memory_used<1_048_577",
        ] {
            assert_eq!(failures(text), Ok(Vec::new()), "{text}");
        }
        assert_eq!(
            failures("subscribers<12k,p99<50ms,uptime<1s"),
            Ok(vec![
                "'subscribers<12k' does not hold: subscribers is 12000".to_owned(),
                "'p99<50ms' does not hold: p99 is 50.5ms".to_owned(),
                "'uptime<1s' does not hold: uptime is 90s".to_owned()
            ])
        );
    }

    #[test]
    fn mistakes_are_named() {
        for text in [
            "",
            "subscribers",
            "subscribers>=",
            ">=1",
            "subscribers>=many",
            "subscribers>=1,,",
            "a b>1",
            "subscribers>=inf",
        ] {
            assert!(
                parse(text).is_err_and(|error| error.contains("is not a condition")),
                "{text}"
            );
        }
        for (text, part) in [
            (
                "readers>1",
                "there is no field 'readers'; there are: subscribers, p99",
            ),
            ("p99<50", "write it with a unit"),
            ("p99<50KiB", "write it with a unit"),
            ("subscribers>1ms", "it counts"),
            ("subscribers>1kb", "it counts"),
            ("memory_used<1s", "it is a size"),
        ] {
            let error = failures(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
    }
}
