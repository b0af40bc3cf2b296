//! Selection and order of channels. Does no I/O.

use std::cmp::Reverse;

use clap::builder::RangedU64ValueParser;
use globset::{GlobBuilder, GlobMatcher};
use regex::Regex;

use crate::client::statistics::ChannelInfo;

/// Sort key of channels: numbers in descending order, names in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sort {
    /// Most subscribers first
    Subscribers,
    /// Most stored messages first
    Stored,
    /// Most published messages first
    Published,
    /// By name
    Name,
}

/// Selection and order of channels.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Selection {
    /// Sort the channels (of ALL, if none is named); the server's order if absent
    #[arg(long, value_name = "FIELD", value_enum)]
    pub(super) sort: Option<Sort>,
    /// Reverse the order
    #[arg(long)]
    pub(super) reverse: bool,
    /// Show the channels whose whole name matches: * ? [a-z] {a,b}, or a regular expression between
    /// slashes: /^a.*z$/
    #[arg(long, value_name = "PATTERN", value_parser = Filter::parse)]
    pub(super) filter: Option<Filter>,
    /// Show the channels with at least N subscribers
    #[arg(long, value_name = "N")]
    pub(super) min_subscribers: Option<u64>,
    /// Show the first N channels only
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(super) top: Option<usize>,
}

/// A pattern for channel names.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    /// Wildcards; matches the whole name.
    Glob(GlobMatcher),
    /// A regular expression; matches anywhere in the name.
    Regex(Regex),
}

impl Filter {
    /// Parses a pattern of `--filter`.
    ///
    /// # Errors
    /// Returns the reason why the pattern is invalid.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(regex) = text
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'))
            .filter(|regex| !regex.is_empty())
        {
            return Regex::new(regex)
                .map(Self::Regex)
                .map_err(|error| format!("invalid regular expression: {error}"));
        }
        let glob = GlobBuilder::new(text)
            .literal_separator(false)
            .backslash_escape(true)
            .build();
        glob.map(|glob| Self::Glob(glob.compile_matcher()))
            .map_err(|error| format!("invalid pattern: {}", error.kind()))
    }

    /// True if the pattern matches.
    #[must_use]
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.is_match(name),
            Self::Regex(regex) => regex.is_match(name),
        }
    }

    /// The pattern as written by the user.
    #[must_use]
    pub(super) fn text(&self) -> String {
        match self {
            Self::Glob(glob) => glob.glob().glob().to_owned(),
            Self::Regex(regex) => format!("/{regex}/"),
        }
    }
}

impl Selection {
    /// True if an option selects or sorts.
    #[must_use]
    pub(super) fn is_given(&self) -> bool {
        self.sort.is_some()
            || self.reverse
            || self.filter.is_some()
            || self.min_subscribers.is_some()
            || self.top.is_some()
    }

    /// True if this channel is selected (ignoring [`Self::top`]).
    #[must_use]
    pub(super) fn takes(&self, info: &ChannelInfo) -> bool {
        self.min_subscribers
            .is_none_or(|least| info.subscribers >= least)
            && self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches(&info.channel))
    }

    /// Returns the indices of the selected channels, in their order.
    #[must_use]
    pub(super) fn pick(&self, infos: &[ChannelInfo]) -> Vec<usize> {
        let mut picked: Vec<usize> = (0..infos.len())
            .filter(|number| self.takes(&infos[*number]))
            .collect();
        if let Some(sort) = self.sort {
            let count = |info: &ChannelInfo| match sort {
                Sort::Subscribers => info.subscribers,
                Sort::Stored => info.stored_messages,
                Sort::Published => info.published_messages,
                Sort::Name => 0,
            };
            picked.sort_by(|a, b| {
                let key = |number: usize| {
                    (
                        Reverse(count(&infos[number])),
                        infos[number].channel.as_str(),
                    )
                };
                key(*a).cmp(&key(*b))
            });
        }
        if self.reverse {
            picked.reverse();
        }
        picked.truncate(self.top.unwrap_or(usize::MAX));
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(selection: &Selection) -> String {
        let info = |(channel, subscribers, stored_messages): &(&str, u64, u64)| ChannelInfo {
            channel: (*channel).to_owned(),
            subscribers: *subscribers,
            stored_messages: *stored_messages,
            ..ChannelInfo::default()
        };
        let infos: Vec<_> = [("b", 1, 5), ("news/a", 3, 0), ("a", 1, 9), ("news/b", 0, 1)]
            .iter()
            .map(info)
            .collect();
        selection
            .pick(&infos)
            .iter()
            .map(|number| infos[*number].channel.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn channels_are_sorted_and_filtered() {
        let all = Selection::default;
        assert_eq!(picked(&all()), "b news/a a news/b");
        assert_eq!(
            picked(&Selection {
                sort: Some(Sort::Subscribers),
                ..all()
            }),
            "news/a a b news/b"
        );
        assert_eq!(
            picked(&Selection {
                sort: Some(Sort::Stored),
                top: Some(2),
                ..all()
            }),
            "a b"
        );
        assert_eq!(
            picked(&Selection {
                sort: Some(Sort::Name),
                reverse: true,
                ..all()
            }),
            "news/b news/a b a"
        );
        assert_eq!(
            picked(&Selection {
                min_subscribers: Some(1),
                ..all()
            }),
            "b news/a a"
        );
        for (pattern, names) in [
            ("news*", "news/a news/b"),
            ("?", "b a"),
            ("*[b-z]", "b news/b"),
            ("/s.b/", "news/b"),
            ("{a,b}", "b a"),
            ("/", ""),
        ] {
            assert_eq!(
                picked(&Selection {
                    filter: Some(Filter::parse(pattern).expect(pattern)),
                    ..all()
                }),
                names,
                "{pattern}"
            );
        }
        for pattern in ["[", "/(/", "{a"] {
            assert!(Filter::parse(pattern).is_err(), "{pattern}");
        }
    }
}
