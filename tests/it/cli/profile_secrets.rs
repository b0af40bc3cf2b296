//! Profiles and secrets: tokens, file permissions, and redaction in messages.

use super::fake::{Fake, ok, run, status};
use super::profiles::{INFO, configured, with};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn errors_of_the_file_are_reported_with_line_and_without_secrets() {
    let cases = [
        (
            "[servers.x]\nurl = \"http://h\"\ntokn = \"hidden\"\n",
            ":3: unknown field `tokn`",
        ),
        (
            "[servers.x]\nurl = \"http://h\"\nheaders = \"hidden\"\n",
            ":3: invalid type: string \"...\", expected a map",
        ),
        ("[servers.x]\ntoken = \"hidden\"\n", "missing field `url`"),
        (
            "[servers.x]\nurl = \"http://h\"\ntoken = \"hidden\"\ntoken_file = \"f\"\n",
            "it has more than one token",
        ),
        (
            "[servers.x]\nurl = \"http://h\"\ntoken = \"hidden\\n\"\n[servers.x]\n",
            ":4: ",
        ),
        (
            "[servers.x]\nurl = \"http://h\"\nmode = \"pigeon\"\n",
            "unknown mode 'pigeon'",
        ),
        (
            "[servers.a]\nurl = \"http://h\"\n[servers.b]\nurl = \"http://h\"\n",
            "unknown server 'x' in ",
        ),
    ];
    for (text, mention) in cases {
        let directory = configured(text);
        let (code, stdout, stderr) = with(
            Some(directory.path()),
            &[],
            &["pub", "--server", "x", "a", "x"],
        );
        assert_eq!((code, stdout.as_str()), (2, ""), "{text}: {stderr}");
        assert!(
            stderr.contains(mention) && stderr.contains("config.toml"),
            "{text}: {stderr}"
        );
        assert!(!stderr.contains("hidden"), "{stderr}");
    }
    assert_eq!(
        run(&["pub", "--server", "x", "a", "x"], b"").stderr,
        "pushctl: unknown server 'x': no configuration file \
         /nonexistent/pushctl/config.toml (see --server)\n"
    );
    assert_eq!(
        run(&["pub", "--config-file", "/nonexistent/c", "a", "x"], b"").code,
        2
    );
    assert_eq!(
        run(
            &["pub", "--server", "x", "--url", "http://h", "a", "x"],
            b""
        )
        .code,
        2
    );
}

#[test]
fn a_readable_file_with_secrets_is_reported() {
    let fake = Fake::always(&ok("", INFO));
    let directory = configured(&format!(
        "default = \"x\"\n[servers.x]\nurl = \"{}\"\ntoken = \"hidden\"\n",
        fake.url
    ));
    let file = directory.path().join("pushctl/config.toml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    let (code, _, stderr) = with(Some(directory.path()), &[], &["pub", "a", "x"]);
    let file = file.display();
    let reported = format!(
        "pushctl: {file} holds a secret and can be read by other users (mend it with: chmod 600 \
         {file})\n"
    );
    assert_eq!((code, stderr), (0, reported));
    assert_eq!(
        fake.requests()[0].header("Authorization"),
        Some("Bearer hidden")
    );
}

#[test]
fn a_token_is_sent_and_never_shown() {
    let fake = Fake::always(&status("500 Internal Server Error", ""));
    for args in [
        &["pub", "a", "x"][..],
        &["stats"],
        &["sub", "a"],
        &["sub", "a", "-m", "ws"],
        &["bench", "-n", "1"],
        &["rm", "a"],
    ] {
        let before = fake.requests().len();
        let (code, stdout, stderr) = with(
            None,
            &[("PUSHCTL_TOKEN", "hidden"), ("PUSHCTL_URL", &fake.url)],
            args,
        );
        assert_ne!(code, 0, "{args:?}");
        assert!(
            !stdout.contains("hidden") && !stderr.contains("hidden"),
            "{args:?}: {stderr}"
        );
        let sent = fake.requests()[before..]
            .iter()
            .all(|request| request.header("Authorization") == Some("Bearer hidden"));
        assert!(sent && fake.requests().len() > before, "{args:?}");
    }
    let (code, _, stderr) = with(None, &[("PUSHCTL_TOKEN", "hid\nden")], &["stats"]);
    assert_eq!(code, 2);
    assert!(!stderr.contains("den"), "{stderr}");
}
