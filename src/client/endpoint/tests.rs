//! Tests of the URLs of a server.

use super::*;

fn endpoints(base: &str) -> Endpoints {
    Endpoints::new(base, None, None, None).expect("a good url")
}

#[test]
fn built_in_paths_follow_the_base() {
    let here = endpoints("http://h:9080/push/");
    assert_eq!(
        here.publish("a/b c").expect("url").as_str(),
        "http://h:9080/push/pub?id=a/b%20c"
    );
    assert_eq!(
        here.subscribe(Mode::Lp, "a.b5").expect("url").as_str(),
        "http://h:9080/push/lp/a.b5"
    );
    assert_eq!(
        here.statistics(Some("pre*")).expect("url").as_str(),
        "http://h:9080/push/channels-stats?id=pre*"
    );
    assert_eq!(
        here.statistics(None).expect("url").as_str(),
        "http://h:9080/push/channels-stats"
    );
}

#[test]
fn a_percent_sign_survives_the_double_decoding_of_paths() {
    let here = endpoints("h");
    assert_eq!(
        here.subscribe(Mode::Ev, "100%").expect("url").as_str(),
        "http://h/ev/100%2525"
    );
    assert_eq!(
        here.publish("100%").expect("url").as_str(),
        "http://h/pub?id=100%25"
    );
}

#[test]
fn foreign_paths_are_templates() {
    let here = Endpoints::new(
        "https://h",
        Some("/publish"),
        Some("/activity?ch={channel}"),
        Some("/s?x=1"),
    )
    .expect("a good url");
    assert_eq!(
        here.publish("a").expect("url").as_str(),
        "https://h/publish?id=a"
    );
    assert_eq!(
        here.subscribe(Mode::Ws, "a").expect("url").as_str(),
        "https://h/activity?ch=a"
    );
    assert_eq!(
        here.statistics(Some("a")).expect("url").as_str(),
        "https://h/s?x=1&id=a"
    );
    assert_eq!(
        here.statistics(None).expect("url").as_str(),
        "https://h/s?x=1"
    );
}

#[test]
fn dots_stay_in_their_path() {
    let here = endpoints("h");
    for (id, path) in [
        (".", "/ev/..b0"),
        ("..", "/ev/...b0"),
        ("a/../b", "/ev/a/...b0/b"),
        ("..b5", "/ev/..b5"),
        ("...", "/ev/..."),
    ] {
        assert_eq!(here.subscribe(Mode::Ev, id).expect("url").path(), path);
    }
    assert_eq!(
        here.publish("..").expect("url").as_str(),
        "http://h/pub?id=.."
    );
}

#[test]
fn ids_that_no_path_can_carry_are_usage_errors() {
    let here = endpoints("h");
    for id in ["a?", "a/b?c", "", "a//b", "/a", ".b5", "a/"] {
        assert!(matches!(here.publish(id), Err(Error::Request(_))), "{id}");
        assert!(
            matches!(here.subscribe(Mode::Lp, id), Err(Error::Request(_))),
            "{id}"
        );
        assert!(
            matches!(here.statistics(Some(id)), Err(Error::Request(_))),
            "{id}"
        );
    }
}

#[test]
fn credentials_stay_in_the_requests() {
    let here = endpoints("http://me:secret@h:1/p/");
    assert_eq!(
        (
            here.base().as_str(),
            here.publish("a").expect("url").as_str()
        ),
        ("http://h:1/p", "http://me:secret@h:1/p/pub?id=a")
    );
    assert!(!format!("{here:?}").contains("secret"));
    for base in [
        "http://me:sec/ret@h/",
        "http://me:secret@h?key=secret",
        "ftp://me:secret@h",
        "http://me:secret@",
    ] {
        let error = Endpoints::new(base, None, None, None)
            .expect_err("a wrong url")
            .to_string();
        assert!(
            !error.contains("secret") && !error.contains("sec/"),
            "{error}"
        );
    }
}

#[test]
fn wrong_urls_are_usage_errors() {
    for base in ["ftp://h", "http://", "http://h/?a=b", "http://[::1"] {
        assert!(
            matches!(
                Endpoints::new(base, None, None, None),
                Err(Error::Request(_))
            ),
            "{base}"
        );
    }
}
