//! The end of the report of `pushctl check`: unsupported directives, grouped by advice.

use std::collections::BTreeMap;

use super::escape::printable;

/// A directive that is not served: its file, line, name and advice.
pub(super) type Unserved<'a> = (&'a str, usize, &'a str, &'a str);

/// Formats each advice with its directives and their lines, in the order of first use; empty
/// without any.
pub(super) fn text(unserved: &[Unserved<'_>]) -> String {
    let mut order: Vec<&str> = Vec::new();
    for (_, _, _, advice) in unserved {
        if !order.contains(advice) {
            order.push(advice);
        }
    }
    let mut text = String::new();
    for advice in order {
        let of_it = || unserved.iter().filter(|(_, _, _, other)| *other == advice);
        let mut names: Vec<&str> = Vec::new();
        let mut files: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (file, line, name, _) in of_it() {
            if !names.contains(name) {
                names.push(name);
            }
            files.entry(file).or_default().push(*line);
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
        ];
        assert_eq!(
            text(&unserved),
            "\nto do:\n  TLS\n    ssl, ssl_b\n    a:3-4,12, b:9\n  no\n    gzip\n    a:7\n"
        );
        assert_eq!(text(&[]), "");
    }
}
