//! `pushctl rm`: deletes channels.

use clap::ValueHint;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde_json::json;

use super::exit::{Code, exit_codes};
use super::output::escape::printable;
use super::{args, output};
use crate::client::transport::{http, page};
use crate::client::{Error, Http};

macro_rules! examples {
    () => {
        "Examples:
  pushctl rm news
  pushctl rm jobs done --missing-ok
  pushctl rm chat --farewell 'this room is closed'"
    };
}

/// Arguments of `rm`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = concat!(examples!(), "\n\n", args::more_options!()),
    after_long_help = concat!(examples!(), "\n\n", exit_codes!())
)]
pub struct Args {
    /// Channels to delete, also separated by '/'
    #[arg(value_name = "CHANNEL", required = true, value_hint = ValueHint::Other)]
    channels: Vec<String>,
    /// Last message to subscribers [default: that of the server]
    #[arg(long, value_name = "TEXT")]
    farewell: Option<String>,
    /// Ignore channels that do not exist
    #[arg(long)]
    missing_ok: bool,
    #[command(flatten)]
    response: args::ResponseOptions,
    #[command(flatten)]
    pub(super) server: args::ServerOptions,
}

/// Deletes the channels, with one request for each, so that missing ones are reported.
///
/// # Errors
/// When the server rejects a request.
pub async fn run(args: Args, url: &str) -> anyhow::Result<Code> {
    let endpoints = args.server.endpoints(url)?;
    let ids: Vec<&str> = args
        .channels
        .iter()
        .flat_map(|names| names.split('/'))
        .collect();
    // Reports an invalid name before anything is deleted.
    let urls = ids
        .iter()
        .map(|id| Ok((*id, endpoints.publish(id)?)))
        .collect::<Result<Vec<_>, Error>>()?;
    let client = args.server.client()?;
    let stdout = output::Stdout::start()?;
    let mut code = Code::Success;
    for (id, url) in urls {
        let is_missing = !delete(&client, &url, &args).await?;
        if args.response.json {
            let line = json!({"channel": id, "deleted": !is_missing}).to_string();
            stdout.line(&output::json(line.as_bytes())).await?;
        } else if !is_missing && !args.response.quiet {
            stdout
                .line(format!("deleted {}", printable(id)).as_bytes())
                .await?;
        }
        if is_missing && !args.missing_ok {
            output::note(format_args!("channel '{id}' does not exist"));
            code = Code::NotFound;
        }
    }
    Ok(code)
}

/// Deletes the channel at `url`; returns false if it does not exist.
async fn delete(client: &Http, url: &Url, args: &Args) -> anyhow::Result<bool> {
    let timeout = Some(args.response.timeout);
    let farewell = args.farewell.clone().map(String::into_bytes);
    let response = client
        .request(Method::DELETE, url, HeaderMap::new(), farewell, timeout)
        .await?;
    if response.status().as_u16() == 404 {
        return Ok(false);
    }
    if response.status().as_u16() == 405 {
        let remedy = "this location does not delete channels (push_stream_publisher must be \
                      'admin' there, see --pub-path)";
        return Err(anyhow::Error::new(http::status_error(&response, url)).context(remedy));
    }
    if !response.status().is_success() {
        return Err(http::status_error(&response, url).into());
    }
    let is_html = http::header(&response, "Content-Type").is_some_and(page::is_html);
    // The channel is deleted, even if the rest of the response is lost.
    let body = http::body_up_to(http::MAX_INFO_BYTES, response, url, timeout)
        .await
        .unwrap_or_default();
    page::reject_page(url, is_html, &body)?;
    Ok(true)
}
