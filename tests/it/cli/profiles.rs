//! Selection of the server by command line, environment and configuration file; tokens; completion
//! of names.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::fake::{Fake, command, ok, run};
use crate::support::Directory;

pub(super) const INFO: &str = "{\"channel\": \"a\", \"published_messages\": 3, \
                               \"stored_messages\": 2, \
                    \"subscribers\": 1}\r\n";

/// Variables of the environment.
type Words<'a> = &'a [(&'a str, &'a str)];
/// Request line, Authorization, X-Team.
type Sent<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// Runs the program with a configuration and further variables; exit code, standard output,
/// standard error.
pub(super) fn with(
    config: Option<&Path>,
    variables: &[(&str, &str)],
    args: &[&str],
) -> (i32, String, String) {
    let mut command = command(args);
    if let Some(home) = config {
        command.env("XDG_CONFIG_HOME", home);
    }
    let output = command
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code().expect("it ends by itself"),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A configuration directory that only its owner can read.
pub(super) fn configured(text: &str) -> Directory {
    let directory = Directory::new("config");
    std::fs::create_dir(directory.path().join("pushctl")).expect("it is new");
    let file = directory.write("pushctl/config.toml", text);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    directory
}

#[test]
fn the_command_line_overrides_the_environment_and_the_file() {
    let servers: Vec<Fake> = (0..5).map(|_| Fake::always(&ok("", INFO))).collect();
    let url = |number: usize| servers[number].url.as_str();
    let directory = configured(&format!(
        "default = \"one\"\n[servers.one]\nurl = \"{}\"\n[servers.two]\nurl = \"{}\"\n",
        url(1),
        url(2)
    ));
    let config = Some(directory.path());
    let both = [("PUSHCTL_URL", url(3)), ("PUSHCTL_SERVER", "two")];
    let cases: &[(Words<'_>, &[&str], usize)] = &[
        (&[], &["pub", "a", "x"], 1),
        (&[("PUSHCTL_SERVER", "two")], &["pub", "a", "x"], 2),
        (
            &[("PUSHCTL_SERVER", ""), ("PUSHCTL_URL", "")],
            &["pub", "a", "x"],
            1,
        ),
        (&both, &["pub", "a", "x"], 3),
        (&both, &["pub", "a", "x", "--server", "one"], 1),
        (&both, &["pub", "a", "x", "-u", url(4)], 4),
        (
            &both,
            &["--server", "one", "pub", "a", "x", "--url", url(4)],
            4,
        ),
        (
            &both,
            &["--url", url(4), "pub", "a", "x", "--server", "two"],
            2,
        ),
        (&both, &["--server", "two", "pub", "a", "x"], 2),
    ];
    for (variables, args, expected) in cases {
        let before: Vec<usize> = servers
            .iter()
            .map(|server| server.requests().len())
            .collect();
        let (code, _, stderr) = with(config, variables, args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        let after: Vec<usize> = servers
            .iter()
            .map(|server| server.requests().len())
            .collect();
        let asked: Vec<usize> = (0..servers.len())
            .filter(|number| after[*number] > before[*number])
            .collect();
        assert_eq!(asked, [*expected], "{variables:?} {args:?}");
    }
}

#[test]
fn a_server_has_its_own_token_headers_and_paths() {
    let fake = Fake::always(&ok("", INFO));
    let text = format!(
        "default = \"x\"\n[servers.x]\nurl = \"{0}\"\ntoken_file = \"x.token\"\n\
         headers = {{ X-Team = \"web\" }}\npub_path = \"/publish?ch={{channel}}\"\n\
         [servers.y]\nurl = \"{0}\"\ntoken_command = [\"sh\", \"-c\", \"echo from-command\"]\n",
        fake.url
    );
    let directory = configured(&text);
    let token = directory.write("pushctl/x.token", "from-file\n");
    std::fs::set_permissions(token, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    let config = Some(directory.path());
    let cases: &[(Words<'_>, &[&str], Sent<'_>)] = &[
        (
            &[],
            &[],
            ("POST /publish?ch=a", Some("Bearer from-file"), Some("web")),
        ),
        (
            &[("PUSHCTL_TOKEN", "from-environment")],
            &[],
            (
                "POST /publish?ch=a",
                Some("Bearer from-environment"),
                Some("web"),
            ),
        ),
        (
            &[],
            &["-H", "Authorization: Basic eDp5", "-H", "X-Team: me"],
            ("POST /publish?ch=a", Some("Basic eDp5"), Some("me")),
        ),
        (
            &[],
            &["--pub-path", "/p?id={channel}"],
            ("POST /p?id=a", Some("Bearer from-file"), Some("web")),
        ),
        (
            &[],
            &["--server", "y"],
            ("POST /pub?id=a", Some("Bearer from-command"), None),
        ),
        // Settings of the file are not sent to other servers.
        (&[], &["--url", &fake.url], ("POST /pub?id=a", None, None)),
        (
            &[("PUSHCTL_URL", &fake.url)],
            &[],
            ("POST /pub?id=a", None, None),
        ),
        (
            &[("PUSHCTL_TOKEN", "t")],
            &["--url", &fake.url],
            ("POST /pub?id=a", Some("Bearer t"), None),
        ),
    ];
    for (number, (variables, args, sent)) in cases.iter().enumerate() {
        let (code, _, stderr) = with(config, variables, &[&["pub", "a", "x"], *args].concat());
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        let request = &fake.requests()[number];
        assert_eq!(
            (
                request.line.as_str(),
                request.header("Authorization"),
                request.header("X-Team")
            ),
            *sent,
            "{args:?}"
        );
    }
}

#[test]
fn credentials_of_the_url_keep_the_token_away() {
    let fake = Fake::always(&ok("", INFO));
    let url = fake.url.replace("http://", "http://me:pw@");
    assert_eq!(
        with(
            None,
            &[("PUSHCTL_TOKEN", "t")],
            &["pub", "--url", &url, "a", "x"]
        )
        .0,
        0
    );
    assert_eq!(
        fake.requests()[0].header("Authorization"),
        Some("Basic bWU6cHc=")
    );
}

#[test]
fn servers_are_listed() {
    let directory = configured(
        "default = \"b\"\n[servers.a]\nurl = \"http://u:hidden@h\"\n[servers.b]\n\
         url = \"https://i/p\"\ntoken = \"hidden\"\n",
    );
    let (code, stdout, stderr) = with(Some(directory.path()), &[], &["servers", "--json"]);
    let expected = "{\"default\":false,\"server\":\"a\",\"url\":\"http://h\"}\n\
                    {\"default\":true,\"server\":\"b\",\"url\":\"https://i/p\"}\n";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, expected, ""));
    let file = directory.path().join("pushctl/config.toml");
    let file = file.to_str().expect("UTF-8");
    assert_eq!(
        run(&["servers", "--json", "--config-file", file], b"").stdout,
        expected
    );
    let (_, stdout, _) = with(Some(directory.path()), &[], &["servers"]);
    assert!(
        stdout.contains("b (default)") && !stdout.contains("hidden"),
        "{stdout}"
    );
}

#[test]
fn commands_without_a_server_reject_url_options() {
    for args in [
        &["--url", "http://h", "serve"][..],
        &["--server", "x", "completions", "bash"],
    ] {
        let outcome = run(args, b"");
        assert_eq!(outcome.code, 2, "{args:?}");
        assert!(
            outcome.stderr.contains("do not apply to this command"),
            "{args:?}: {}",
            outcome.stderr
        );
    }
    assert!(!run(&["serve", "--help"], b"").stdout.contains("--url"));
}

#[test]
fn names_are_completed_from_the_server_and_the_file() {
    let group = "{\"hostname\": \"vm\", \"infos\": [\r\n\
                 {\"channel\": \"news\", \"published_messages\": 1, \"stored_messages\": 1, \
                 \"subscribers\": 0},\r\n{\"channel\": \"new york\", \"published_messages\": 2, \
                 \"stored_messages\": 1, \"subscribers\": 2}\r\n]}\r\n";
    let fake = Fake::always(&ok("", group));
    let outcome = run(
        &[
            "complete", "channels", "ne", "--", "sub", "--url", &fake.url, "ne",
        ],
        b"",
    );
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, "news\nnew york\n", "")
    );
    assert_eq!(fake.requests()[0].line, "GET /channels-stats?id=ne*");
    // Unreachable and invalid servers produce no output.
    assert_eq!(
        run(
            &[
                "complete",
                "channels",
                "",
                "--",
                "--url",
                "http://127.0.0.1:1"
            ],
            b""
        )
        .stderr,
        ""
    );
    let silent = Fake::start(|_, _| super::fake::Reply::Hold(String::new()));
    let outcome = run(
        &[
            "complete",
            "channels",
            "--",
            "sub",
            &format!("--url={}", silent.url),
        ],
        b"",
    );
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, "", "")
    );
    let directory =
        configured("[servers.prod]\nurl = \"http://h\"\n[servers.test]\nurl = \"http://h\"\n");
    assert_eq!(
        with(Some(directory.path()), &[], &["complete", "servers", "pr"]).1,
        "prod\n"
    );
}
