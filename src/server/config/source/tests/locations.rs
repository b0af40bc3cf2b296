//! Which location of a configuration a request selects, and which settings.

use std::borrow::Cow;

use super::{in_server, loaded, mistakes};
use crate::server::config::{Captures, Config, RewriteFrame, Variables, normalise};

/// A request for a raw path and query.
struct RawRequest<'a> {
    query: &'a str,
    captures: Captures,
}

impl Variables for RawRequest<'_> {
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        let mut arguments = self
            .query
            .split('&')
            .filter_map(|argument| argument.split_once('='));
        arguments
            .find(|(known, _)| known.as_bytes() == name)
            .map(|(_, value)| value.as_bytes())
    }
    fn header(&self, _name: &str) -> Option<&[u8]> {
        None
    }
    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.captures.get(number)
    }
    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.captures.name(name)
    }
    fn builtin(&self, _name: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
}

/// The channels path of a request in the way of the server: locate, choose, evaluate.
fn channels_path(config: &Config, target: &str) -> Option<String> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = normalise(path.as_bytes()).ok()?;
    let (location, captures) = config.listeners[0].servers[0].locate(&path)?;
    let mut frame = RewriteFrame::new(captures.unwrap_or_default(), Vec::new());
    let mut request = RawRequest {
        query,
        captures: frame.captures.clone(),
    };
    let settings = std::sync::Arc::clone(location.choose(&request, &mut frame).settings);
    request.captures = frame.captures;
    let value = settings.channels_path.as_ref()?.evaluate(&request);
    Some(String::from_utf8_lossy(&value).into_owned())
}

#[test]
fn locations_are_chosen_as_by_nginx() {
    let publisher = |pattern: &str, path: &str| {
        format!(
            "location {pattern} {{ push_stream_publisher; push_stream_channels_path {path}; }}\n"
        )
    };
    let locations = [
        ("= /exact", "exact"),
        ("/pre", "pre"),
        ("/pre/long", "prelong"),
        ("^~ /stop", "stop"),
        ("~ ^/re/(.*)$", "$1"),
        (r"~* ^/ci/(\w+)/(\w+)$", "\"$2/$1\""),
        ("~ sub/(.*)", "any_$1"),
        ("~ ^/named/(?<ch>.+)$", "$ch"),
        ("/", "root"),
    ];
    let text: String = locations
        .iter()
        .map(|(pattern, path)| publisher(pattern, path))
        .collect();
    let config = loaded(&in_server(&text)).config;
    for (target, expected) in [
        ("/exact", "exact"),
        ("/exact/", "root"),
        ("/exact?x=1", "exact"),
        ("/pre", "pre"),
        ("/prefix", "pre"),
        ("/pre/longer", "prelong"),
        ("/stop/sub/x", "stop"),
        ("/pre/sub/x", "any_x"),
        ("/re/a/b", "a/b"),
        ("/re/", ""),
        ("/CI/x/y", "y/x"),
        ("/RE/a", "root"),
        ("/zzz/sub/q", "any_q"),
        ("/named/foo", "foo"),
        ("/re/%C3%A9", "é"),
        ("//re/./a%20b", "a b"),
        ("/nothing", "root"),
    ] {
        assert_eq!(
            channels_path(&config, target).as_deref(),
            Some(expected),
            "{target}"
        );
    }
}

#[test]
fn nested_locations_are_tried_within_the_outer_one() {
    let push = |path: &str| format!("push_stream_publisher; push_stream_channels_path {path};");
    let text = format!(
        "location /a {{ {} location /a/b {{ {} }} location ~ in/(.*) {{ {} }} }}\n\
         location ~ /b/(.*) {{ {} }}\n\
         location ^~ /stop {{ {} location ~ x$ {{ {} }} }}",
        push("a"),
        push("ab"),
        push("in_$1"),
        push("outer_$1"),
        push("stop"),
        push("stopx"),
    );
    let config = loaded(&in_server(&text)).config;
    for (target, expected) in [
        ("/a", Some("a")),
        ("/a/bc", Some("ab")),
        ("/a/b/in/1", Some("in_1")),
        ("/a/b/1", Some("outer_1")),
        ("/c/in/1", None),
        ("/stop/b/1", Some("stop")),
        ("/stop/x", Some("stopx")),
    ] {
        assert_eq!(
            channels_path(&config, target).as_deref(),
            expected,
            "{target}"
        );
    }
    let outside = in_server("location /a { location /b { } }");
    assert_eq!(
        mistakes(&outside),
        ["conf:5: location \"/b\" is outside location \"/a\""]
    );
    let inside_exact = in_server("location = /a { location /a/b { } }");
    assert_eq!(
        mistakes(&inside_exact),
        ["conf:5: location \"/a/b\" cannot be inside the exact location \"/a\""]
    );
}

#[test]
fn the_last_true_condition_supplies_all_settings() {
    let text = in_server(
        "location ~ ^/pub/(.*)$ {
           push_stream_publisher;
           push_stream_channels_path \"none\";
           if ($arg_a = on) { push_stream_channels_path \"eq_$1\"; push_stream_store_messages on; }
           if ($arg_b != \"x\") { push_stream_channels_path \"none2\"; }
           if ($arg_c) { push_stream_channels_path \"truthy\"; }
         }
         location /re {
           push_stream_publisher;
           push_stream_channels_path \"none\";
           if ($arg_d ~ \"^v(.)$\") { push_stream_channels_path \"re_$1\"; }
         }
         location /ci {
           push_stream_publisher;
           push_stream_channels_path \"none\";
           if ($arg_d ~ \"^v(.)$\") { push_stream_channels_path \"re_$1\"; }
           if ($arg_e ~* ^on$) { push_stream_channels_path \"ci\"; }
         }",
    );
    let config = loaded(&text).config;
    for (target, expected) in [
        ("/pub/z?b=x", "none"),
        ("/pub/z?a=on&b=x", "eq_z"),
        ("/pub/z?a=ON&b=x", "none"),
        ("/pub/z", "none2"),
        ("/pub/z?b=x&c=0", "none"),
        ("/pub/z?b=x&c=", "none"),
        ("/pub/z?a=on&b=x&c=1", "truthy"),
        ("/re?d=vz", "re_z"),
        ("/ci?d=vz", "re_"),
        ("/ci?d=vz&e=ON", "ci"),
    ] {
        assert_eq!(
            channels_path(&config, target).as_deref(),
            Some(expected),
            "{target}"
        );
    }
}
