//! The `gzip` settings of a location.

use std::sync::Arc;

use super::Level;
use crate::server::config::GzipSettings;

/// The settings of a location; `None` if its responses are not compressed.
pub(in crate::server) fn settings(level: &Level) -> Option<Arc<GzipSettings>> {
    if level.gzip != Some(true) {
        return None;
    }
    let defaults = GzipSettings::default();
    Some(Arc::new(GzipSettings {
        level: level.gzip_level.unwrap_or(defaults.level),
        types: level.gzip_types.clone().map_or(defaults.types, |types| {
            let html = with_html(types);
            if html.iter().any(|name| name == "*") {
                None
            } else {
                Some(html)
            }
        }),
        min_length: level.gzip_min_length.unwrap_or(defaults.min_length),
        least_minor_version: level
            .gzip_minor_version
            .unwrap_or(defaults.least_minor_version),
        vary: level.gzip_vary.unwrap_or(defaults.vary),
        proxied: level.gzip_proxied.clone().unwrap_or(defaults.proxied),
        disabled_agents: level
            .gzip_disable
            .clone()
            .unwrap_or(defaults.disabled_agents),
    }))
}

/// Adds `text/html`, which is always compressed.
fn with_html(mut types: Vec<String>) -> Vec<String> {
    types.extend((!types.iter().any(|name| name == "text/html")).then(|| "text/html".to_owned()));
    types
}
