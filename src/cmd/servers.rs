//! `pushctl servers`: the named servers of the configuration file.

use serde_json::json;

use super::exit::Code;
use super::output;
use super::output::table::Table;
use super::profile::{self, ServerChoice};
use crate::client::url::shown_text;

/// Long help. Not a doc comment, because clap would re-wrap the example.
pub(super) const ABOUT: &str = r#"List the named servers of the configuration file

The file is ~/.config/pushctl/config.toml; $XDG_CONFIG_HOME,
PUSHCTL_CONFIG and --config-file change that. It looks like this:

    default = "staging"
    [servers.staging]
    url = "https://push.example/live"
    token_file = "staging.token"

Alternatives to token_file are token = "..." and token_command =
["pass", "show", "push"]; further keys are headers = { Name = "value" },
pub_path, sub_path, stats_path, dialect and mode. The token is sent as
'Authorization: Bearer', and only to this url. The command line overrides
the environment (PUSHCTL_URL, PUSHCTL_SERVER, PUSHCTL_TOKEN), which
overrides the file."#;

/// Arguments of `servers`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  pushctl servers\n  pushctl pub news hello --server staging")]
pub struct Args {
    /// Configuration file to read
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config_file: Option<std::path::PathBuf>,
    /// Print lines of JSON
    #[arg(long)]
    json: bool,
}

/// Lists the servers; does not read tokens.
///
/// # Errors
/// When the file is invalid.
pub fn run(args: &Args, choice: &ServerChoice) -> anyhow::Result<Code> {
    let choice = &ServerChoice {
        config_file: args.config_file.clone(),
        ..ServerChoice::default()
    }
    .within(choice);
    let servers = profile::list(choice)?;
    if servers.is_empty() {
        let path = profile::path(choice)
            .map_or_else(|| "no file".to_owned(), |path| path.display().to_string());
        output::note(format_args!(
            "no servers are configured in {path} (see 'pushctl help servers')"
        ));
    }
    let mut text = String::new();
    let mut table = Table::new(&["server", "url"]);
    for server in &servers {
        let url = shown_text(&server.url);
        if args.json {
            let line = json!({"server": server.name, "url": url, "default": server.is_default})
                .to_string()
                + "\n";
            text += &String::from_utf8_lossy(&output::json(line.as_bytes()));
        }
        table.row(&[
            format!(
                "{}{}",
                server.name,
                if server.is_default { " (default)" } else { "" }
            ),
            url,
        ]);
    }
    if !args.json && !servers.is_empty() {
        text = table.render();
    }
    output::text(text.as_bytes())?;
    Ok(Code::Success)
}
