//! What tables of directives are made of: rules, where they are allowed, and the values that they
//! get.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::files::SourcePlace;
use super::levels::Scope;
use super::names::LogFormats;
use crate::server::config::model::units;
use crate::server::config::{Expression, VariableNames};

/// The kinds of blocks, as bits.
pub(in crate::server) const MAIN: u8 = 1;
pub(in crate::server) const EVENTS: u8 = 2;
pub(in crate::server) const HTTP: u8 = 4;
pub(in crate::server) const SERVER: u8 = 8;
pub(in crate::server) const LOCATION: u8 = 16;
/// `if` in a location.
pub(in crate::server) const IF: u8 = 32;
/// `if` in a server.
pub(in crate::server) const SERVER_IF: u8 = 64;
pub(in crate::server) const LIMIT_EXCEPT: u8 = 128;
pub(in crate::server) const HSL: u8 = HTTP | SERVER | LOCATION;
pub(in crate::server) const HSLI: u8 = HSL | IF;
pub(in crate::server) const ANY: u8 = u8::MAX;

/// The rule of a directive.
#[derive(Debug)]
pub(in crate::server) struct Rule {
    pub(in crate::server) name: &'static str,
    pub(in crate::server) contexts: u8,
    pub(in crate::server) arguments: std::ops::RangeInclusive<usize>,
    pub(in crate::server) effect: Effect,
}

/// The effect of a directive.
#[derive(Debug)]
pub(in crate::server) enum Effect {
    /// It has no effect, such as socket tuning.
    Ignored,
    /// It has a block, which the caller enters.
    Block,
    /// It sets a value, at most once in a block.
    Once(Apply),
    /// It may be repeated, or checks repetition itself.
    Many(Apply),
    /// It is not supported: the function adds a notice and the substitute.
    Unsupported(Apply),
}

/// Applies a directive to the scope; the error is in nginx's wording, without the place.
pub(in crate::server) type Apply = fn(&mut Scope, &Value<'_>) -> Result<(), String>;

/// A directive as passed to the functions of the tables.
#[derive(Debug)]
pub(in crate::server) struct Value<'a> {
    pub(in crate::server) name: &'a str,
    pub(in crate::server) arguments: &'a [Vec<u8>],
    /// The variables of the file.
    pub(in crate::server) names: &'a VariableNames,
    /// The log formats of the file.
    pub(in crate::server) log_formats: &'a LogFormats,
    /// The directory of relative paths.
    pub(in crate::server) base: &'a Path,
    pub(in crate::server) place: SourcePlace,
}

impl Value<'_> {
    pub(in crate::server) fn first(&self) -> &[u8] {
        self.arguments
            .first()
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    pub(in crate::server) fn text(&self) -> Bytes {
        Bytes::copy_from_slice(self.first())
    }

    pub(in crate::server) fn shown(&self) -> String {
        String::from_utf8_lossy(self.first()).into_owned()
    }

    pub(in crate::server) fn invalid(&self, what: &str) -> String {
        format!("\"{}\" directive invalid {what}", self.name)
    }

    pub(in crate::server) fn expression(&self) -> Result<Option<Expression>, String> {
        Expression::parse_with(self.first(), self.names)
            .map(Some)
            .map_err(|error| error.to_string())
    }

    pub(in crate::server) fn flag(&self) -> Result<Option<bool>, String> {
        match self.first().to_ascii_lowercase().as_slice() {
            b"on" => Ok(Some(true)),
            b"off" => Ok(Some(false)),
            _ => Err(format!(
                "invalid value \"{}\" in \"{}\" directive, it must be \"on\" or \"off\"",
                self.shown(),
                self.name
            )),
        }
    }

    pub(in crate::server) fn number(&self) -> Result<Option<u64>, String> {
        units::number(self.first())
            .map(Some)
            .ok_or_else(|| self.invalid("number"))
    }

    pub(in crate::server) fn seconds(&self) -> Result<Duration, String> {
        units::time(self.first(), false).ok_or_else(|| self.invalid("value"))
    }

    pub(in crate::server) fn milliseconds(&self) -> Result<Duration, String> {
        units::time(self.first(), true).ok_or_else(|| self.invalid("value"))
    }

    pub(in crate::server) fn duplicate(&self) -> String {
        format!("\"{}\" directive is duplicate", self.name)
    }
}

pub(in crate::server) const fn rule_of(
    name: &'static str,
    contexts: u8,
    arguments: std::ops::RangeInclusive<usize>,
    effect: Effect,
) -> Rule {
    Rule {
        name,
        contexts,
        arguments,
        effect,
    }
}

/// Declares a directive with one argument.
macro_rules! one {
    (
        $name:literal, $contexts:expr, |$scope:ident, $value:ident| $($field:ident).+ = $read:expr
    ) => {
        rule_of($name, $contexts, 1..=1, Effect::Once(|$scope, $value| {
            $scope.$($field).+ = $read;
            Ok(())
        }))
    };
    // The form that rustfmt makes of a long assignment.
    (
        $name:literal,
        $contexts:expr,
        |$scope:ident, $value:ident| { $($field:ident).+ = $read:expr }
    ) => {
        one!($name, $contexts, |$scope, $value| $($field).+ = $read)
    };
}
pub(super) use one;
