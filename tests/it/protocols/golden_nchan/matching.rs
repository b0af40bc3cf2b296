//! Placeholders of the recorded exchanges: `{{DATE:T1}}` and `{{EPOCH:T1}}` are the same second
//! wherever the name is the same; different names are different seconds; the rest match by their
//! form.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::conn::Response;
use crate::support::show;

/// Headers that the recordings speak of: one of these that a case does not list must not be sent.
static RECORDED: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        "^(content-type|content-length|content-encoding|last-modified|etag|vary|allow|connection|tr\
         ansfer-encoding|upgrade|location|cache-control|x-my-etag|x-extra|set-cookie|www-authentica\
         te|access-control.*|sec-websocket.*)$",
    )
});
/// A second that a request names.
static SECOND: LazyLock<Regex> = LazyLock::new(|| expression(r"\{\{(DATE|EPOCH):(T\d+)\}\}"));
/// Any placeholder.
static PLACEHOLDER: LazyLock<Regex> =
    LazyLock::new(|| expression(r"\{\{((?:DATE|EPOCH):T\d+|[A-Z]+)\}\}"));

fn expression(text: &str) -> Regex {
    Regex::new(text).expect("a valid expression")
}

/// Values of the placeholders of a case: seconds and boundaries.
#[derive(Clone, Default)]
pub(super) struct Bindings(HashMap<String, String>);

/// A body or payload of a case.
pub(super) fn blob(value: &Value) -> Vec<u8> {
    use base64::Engine;
    if let Some(text) = value["base64"].as_str() {
        return base64::engine::general_purpose::STANDARD
            .decode(text)
            .expect("a recorded text in base64");
    }
    if let Some(unit) = value["repeat"].as_str() {
        return unit
            .repeat(usize::try_from(value["count"].as_u64().unwrap_or(0)).unwrap_or(0))
            .into_bytes();
    }
    value.as_str().unwrap_or_default().as_bytes().to_vec()
}

impl Bindings {
    /// Fills the placeholders of a request.
    pub(super) fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = text.to_owned();
        while let Some(found) = SECOND.captures(&filled.clone()) {
            let second = self
                .0
                .get(&found[2])
                .ok_or_else(|| format!("no value yet for {}", &found[0]))?;
            let value = if &found[1] == "DATE" {
                http_date(second)
            } else {
                second.clone()
            };
            filled = filled.replace(&found[0], &value);
        }
        Ok(filled)
    }

    /// Compares received and recorded data.
    pub(super) fn check(&mut self, want: &Value, got: &[u8], what: &str) -> Result<(), String> {
        let differs = || format!("{what}:\n   want {want}\n   got  {}", show(got));
        let Some(text) = want.as_str() else {
            return if blob(want) == got {
                Ok(())
            } else {
                Err(differs())
            };
        };
        if text == "{{HTML_ERROR_PAGE}}" {
            return Ok(());
        }
        // Compiling an expression is slow in unoptimised builds.
        if !PLACEHOLDER.is_match(text) {
            return if text.as_bytes() == got {
                Ok(())
            } else {
                Err(differs())
            };
        }
        let got = String::from_utf8_lossy(got);
        let mut pattern = "(?s)^".to_owned();
        let mut names = Vec::new();
        let mut at = 0;
        for found in PLACEHOLDER.captures_iter(text) {
            let all = found.get(0).expect("the whole match");
            pattern.push_str(&regex::escape(&text[at..all.start()]));
            let (kind, name) = found[1].split_once(':').unwrap_or((&found[1], ""));
            let (form, name) = match kind {
                "DATE" => (
                    r"([A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT)",
                    Some(name),
                ),
                "EPOCH" => (r"(\d{10})", Some(name)),
                "BOUNDARY" => (r"([./0-9A-Za-z]{32})", Some("BOUNDARY")),
                "AGE" => (r"\d{1,2}", None),
                _ => (r"\d+", None),
            };
            pattern.push_str(form);
            names.extend(name.map(|name| (kind.to_owned(), name.to_owned())));
            at = all.end();
        }
        pattern.push_str(&regex::escape(&text[at..]));
        pattern.push('$');
        let matcher = regex::RegexBuilder::new(&pattern)
            .size_limit(1 << 26)
            .build()
            .expect("a valid expression");
        let found = matcher.captures(&got).ok_or_else(differs)?;
        let mut bound = self.0.clone();
        if text.contains("boundary=") {
            bound.remove("BOUNDARY");
        }
        for (index, (kind, name)) in names.iter().enumerate() {
            let value = found.get(index + 1).map_or("", |value| value.as_str());
            let value = if kind == "DATE" {
                epoch(value)
            } else {
                value.to_owned()
            };
            let is_same = *bound.entry(name.clone()).or_insert_with(|| value.clone()) == value;
            if !is_same || bound.values().filter(|other| **other == value).count() > 1 {
                return Err(format!(
                    "{what}: {name} is not the second it should be: {bound:?}; {}",
                    differs()
                ));
            }
        }
        self.0 = bound;
        Ok(())
    }

    /// Compares a head, `has_defect` if the case's original does something wrong.
    pub(super) fn check_head(
        &mut self,
        want: &Value,
        got: &Response,
        (method, has_defect): (&str, bool),
    ) -> Result<(), String> {
        let reason = want["reason"].as_str().unwrap_or(&got.reason);
        if want["status"].as_u64() != Some(got.status) || reason != got.reason {
            return Err(format!("want {} {reason}, got {got:?}", want["status"]));
        }
        let all = want["headers"].as_object().into_iter().flatten();
        let mut wanted: HashMap<String, String> = all
            .map(|(name, value)| {
                (
                    name.to_ascii_lowercase(),
                    value.as_str().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let mut have: HashMap<&str, String> = HashMap::new();
        have.extend(
            got.headers
                .iter()
                .filter(|(name, _)| RECORDED.is_match(name))
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        if got.status >= 400
            && wanted
                .get("content-type")
                .is_some_and(|value| value == "text/html")
        {
            for name in ["content-type", "content-length", "transfer-encoding"] {
                wanted.remove(name);
                have.remove(name);
            }
        }
        if method == "HEAD"
            && have
                .get("content-length")
                .is_some_and(|value| value.bytes().all(|byte| byte.is_ascii_digit()))
        {
            wanted.remove("content-length");
            have.remove("content-length");
        }
        if let Some(value) = wanted.get_mut("content-type").filter(|_| has_defect) {
            *value = value.trim_end_matches(['\0', ',', ';']).to_owned();
        }
        let is_default = |value: Option<&String>| {
            value.is_none_or(|value| value.eq_ignore_ascii_case("keep-alive"))
        };
        match (wanted.remove("connection"), have.remove("connection")) {
            (want, have) if is_default(want.as_ref()) && is_default(have.as_ref()) => {}
            (Some(want), Some(have)) if want.eq_ignore_ascii_case(&have) => {}
            (want, have) => return Err(format!("connection: want {want:?}, got {have:?}")),
        }
        let missing: Vec<_> = wanted
            .keys()
            .filter(|name| !have.contains_key(name.as_str()))
            .collect();
        let extra: Vec<_> = have
            .iter()
            .filter(|(name, _)| !wanted.contains_key(**name))
            .collect();
        if !missing.is_empty() || !extra.is_empty() {
            return Err(format!(
                "headers of the {}: missing {missing:?}, not expected {extra:?}",
                got.status
            ));
        }
        let checks = wanted
            .iter()
            .map(|(name, value)| (name, Value::from(value.as_str())));
        checks.into_iter().try_for_each(|(name, value)| {
            self.check(
                &value,
                have[name.as_str()].as_bytes(),
                &format!("header {name}"),
            )
        })
    }
}

fn http_date(second: &str) -> String {
    let second = second.parse().unwrap_or(0);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second))
}

fn epoch(date: &str) -> String {
    let time = httpdate::parse_http_date(date).unwrap_or(std::time::UNIX_EPOCH);
    time.duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
        .to_string()
}
