//! The end of the report of `pushctl check`: unsupported directives, grouped by advice.

use std::collections::BTreeMap;

use crate::cmd::output::escape::printable;

/// A directive that is not served.
pub(super) struct Unserved<'a> {
    pub(super) file: &'a str,
    pub(super) line: usize,
    pub(super) name: &'a str,
    pub(super) advice: &'a str,
}

/// Formats each advice with its directives and their lines, in the order of first use; empty
/// without any.
pub(super) fn text(unserved: &[Unserved<'_>]) -> String {
    let mut order: Vec<&str> = Vec::new();
    for directive in unserved {
        if !order.contains(&directive.advice) {
            order.push(directive.advice);
        }
    }
    let mut text = String::new();
    for advice in order {
        let mut names: Vec<&str> = Vec::new();
        let mut files: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for directive in unserved
            .iter()
            .filter(|directive| directive.advice == advice)
        {
            if !names.contains(&directive.name) {
                names.push(directive.name);
            }
            files
                .entry(directive.file)
                .or_default()
                .push(directive.line);
        }
        let places: Vec<String> = files
            .into_iter()
            .map(|(file, lines)| format!("{file}:{}", ranges(lines)))
            .collect();
        let [advice, names, places] =
            [advice, &names.join(", "), &places.join(", ")].map(printable);
        text += &format!("  {advice}\n    {names}\n    {places}\n");
    }
    if text.is_empty() {
        text
    } else {
        format!("\nto do:\n{text}")
    }
}

/// `3,7-9` for 3, 7, 8 and 9.
fn ranges(mut lines: Vec<usize>) -> String {
    lines.sort_unstable();
    lines.dedup();
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for line in lines {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == line => *last = line,
            _ => ranges.push((line, line)),
        }
    }
    let shown: Vec<String> = ranges
        .iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    shown.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_grouped_by_advice() {
        let unserved = [
            ("a", 3, "ssl", "TLS"),
            ("a", 7, "gzip", "no"),
            ("a", 4, "ssl_b", "TLS"),
            ("b", 9, "ssl", "TLS"),
            ("a", 12, "ssl", "TLS"),
        ]
        .map(|(file, line, name, advice)| Unserved {
            file,
            line,
            name,
            advice,
        });
        assert_eq!(
            text(&unserved),
            "\nto do:\n  TLS\n    ssl, ssl_b\n    a:3-4,12, b:9\n  no\n    gzip\n    a:7\n"
        );
        assert_eq!(text(&[]), "");
    }
}
