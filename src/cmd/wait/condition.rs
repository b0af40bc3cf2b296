//! Conditions on a counter, such as `>=1`.

use std::fmt;
use std::str::FromStr;

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CounterCondition {
    operator: Operator,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
    Other,
}

/// Signs of the operators, longer ones first.
const OPERATORS: [(&str, Operator); 7] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("==", Operator::Equal),
    ("!=", Operator::Other),
    (">", Operator::Above),
    ("<", Operator::Below),
    ("=", Operator::Equal),
];

impl FromStr for CounterCondition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let found = OPERATORS.iter().find_map(|(sign, operator)| {
            text.strip_prefix(sign).map(|rest| (*operator, rest.trim()))
        });
        let Some((operator, number)) = found else {
            return Err(format!(
                "write for example '>={}', '==0' or '<5', in quotes",
                text.parse().unwrap_or(1_u64)
            ));
        };
        let number = number.parse().map_err(|_| {
            format!("'{number}' is not a number (write for example '>=1', '==0' or '<5')")
        })?;
        Ok(Self { operator, number })
    }
}

impl fmt::Display for CounterCondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS
            .iter()
            .find(|(_, operator)| *operator == self.operator)
            .map_or("", |(sign, _)| sign);
        write!(formatter, "{sign}{}", self.number)
    }
}

impl CounterCondition {
    pub(super) fn holds(self, value: u64) -> bool {
        match self.operator {
            Operator::AtLeast => value >= self.number,
            Operator::AtMost => value <= self.number,
            Operator::Above => value > self.number,
            Operator::Below => value < self.number,
            Operator::Equal => value == self.number,
            Operator::Other => value != self.number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare() {
        for (text, holding, failing) in [
            (">=2", 2, 1),
            ("<=2", 2, 3),
            (">2", 3, 2),
            ("<2", 1, 2),
            ("==2", 2, 1),
            ("= 2", 2, 3),
            (" != 2 ", 1, 2),
        ] {
            let condition: CounterCondition = text.parse().expect(text);
            assert!(
                condition.holds(holding) && !condition.holds(failing),
                "{text}"
            );
        }
        assert_eq!(
            "=2".parse::<CounterCondition>()
                .map(|condition| condition.to_string()),
            Ok("==2".to_owned())
        );
    }

    #[test]
    fn a_number_alone_gets_a_hint() {
        assert!(
            "3".parse::<CounterCondition>()
                .expect_err("no operator")
                .contains("'>=3'")
        );
        for text in ["", ">=", "=>1", ">=-1", ">=x"] {
            assert!(text.parse::<CounterCondition>().is_err(), "{text}");
        }
    }
}
