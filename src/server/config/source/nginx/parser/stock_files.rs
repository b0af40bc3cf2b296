//! Hints for files that nginx ships and that are missing where nginx is not installed.

use std::path::Path;

const MIME_TYPES: &str = "nginx ships this file, with the content types of file extensions: copy \
                          it from a machine with nginx, or remove the line";
const BACK_ENDS: &str = "nginx ships this file, with parameters for back-ends: create an empty \
                         file or remove the line, pushctl does not need it";
const PROXIES: &str = "nginx ships this file, with the headers of proxied requests: copy it from a \
                       machine with nginx, or remove the line";
const CHARSETS: &str = "nginx ships this file, with a table of characters: create an empty file or \
                        remove the line, pushctl does not need it";

const FILES: &[(&str, &str)] = &[
    ("mime.types", MIME_TYPES),
    ("fastcgi.conf", BACK_ENDS),
    ("fastcgi_params", BACK_ENDS),
    ("fastcgi-php.conf", BACK_ENDS),
    ("scgi_params", BACK_ENDS),
    ("uwsgi_params", BACK_ENDS),
    ("proxy_params", PROXIES),
    ("koi-utf", CHARSETS),
    ("koi-win", CHARSETS),
    ("win-utf", CHARSETS),
];

/// The hint for a missing file; `None` if nginx does not ship it.
pub(super) fn hint(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    FILES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, hint)| *hint)
}
