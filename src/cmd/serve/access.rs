//! Access to the built-in locations: clients by address or password, web pages by origin, and names
//! of the server.
//!
//! A configuration file has directives instead, so these options conflict with one.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use super::start::Hints;
use crate::server::config::model::browsers::{AllowedOrigins, Origin, split_port};
use crate::server::config::model::clients::Clients;
use crate::server::config::model::web::{AccessRule, Authentication};
use crate::server::config::{BrowserAccess, Expression, ListenAddress, WebSettings};

/// Options about access.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Access")]
pub(super) struct AccessOptions {
    /// Accept only clients at this address or network
    ///
    /// Repeatable. `unix:` stands for clients of unix sockets. Others get 403, also those on this
    /// machine: add 127.0.0.1 for them. For the built-in locations; the directives in a
    /// configuration are allow and deny.
    #[arg(
        long,
        value_name = "ADDR",
        value_parser = clients,
        conflicts_with_all = ["nginx_conf", "config"]
    )]
    allow_from: Vec<Clients>,
    /// Require a user and password of this htpasswd file
    ///
    /// Clients without them get 401; the other commands take them in the URL,
    /// http://USER:PASSWORD@HOST. Passwords are sent unencrypted: use it behind a proxy with TLS or
    /// in a trusted network. For the built-in locations; the directives in a configuration are
    /// auth_basic and auth_basic_user_file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nginx_conf", "config"])]
    basic_auth: Option<PathBuf>,
    /// Accept web pages of this origin (repeatable)
    ///
    /// ORIGIN is one such as https://app.example, `*` for all, or `null` for local files and
    /// sandboxed frames. Pages of other origins get 403; pages of the server itself and clients
    /// other than browsers are always accepted. For the built-in locations.
    #[arg(
        long,
        value_name = "ORIGIN",
        value_parser = allowed_origin,
        conflicts_with_all = ["nginx_conf", "config"]
    )]
    allow_origin: Vec<AllowedOrigin>,
    /// Host name of the server in requests (repeatable)
    ///
    /// Protects against web pages that resolve their own name to this machine (DNS rebinding). On
    /// loopback addresses, requests for names other than these, localhost and addresses get 421,
    /// unless they come from a proxy of --real-ip-from; on other addresses only if this option is
    /// given. For the built-in locations.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = server_name,
        conflicts_with_all = ["nginx_conf", "config"],
        hide_short_help = true
    )]
    server_name: Vec<String>,
}

/// A value of `--allow-origin`.
#[derive(Clone, Debug)]
enum AllowedOrigin {
    All,
    Named(Origin),
}

impl AccessOptions {
    /// Web pages that may use the server.
    pub(super) fn browser_access(&self) -> BrowserAccess {
        let named = self.allow_origin.iter().map(|allowed| match allowed {
            AllowedOrigin::All => None,
            AllowedOrigin::Named(origin) => Some(origin.clone()),
        });
        let allowed_origins = named
            .collect::<Option<Vec<_>>>()
            .map_or(AllowedOrigins::All, AllowedOrigins::Named);
        BrowserAccess {
            allowed_origins,
            server_names: self.server_name.clone(),
        }
    }

    /// Clients that may use the server.
    ///
    /// # Errors
    /// When the htpasswd file cannot be read.
    pub(super) fn web(&self) -> anyhow::Result<Arc<WebSettings>> {
        let mut access: Vec<AccessRule> = self
            .allow_from
            .iter()
            .map(|clients| AccessRule {
                allows: true,
                clients: clients.clone(),
            })
            .collect();
        if !access.is_empty() {
            access.push(AccessRule {
                allows: false,
                clients: Clients::All,
            });
        }
        let authentication = self.basic_auth.as_ref().map(|users| {
            std::fs::read(users)
                .with_context(|| format!("cannot read {} (see --basic-auth)", users.display()))?;
            anyhow::Ok(Arc::new(Authentication {
                realm: Expression::literal("pushctl"),
                users: users.clone(),
            }))
        });
        Ok(Arc::new(WebSettings {
            access,
            authentication: authentication.transpose()?,
            ..WebSettings::default()
        }))
    }

    /// Properties that the commands at the start depend on.
    pub(super) fn hints(&self) -> Hints {
        Hints {
            requires_password: self.basic_auth.is_some(),
        }
    }

    /// Warns of addresses that other machines can reach without access control, and of
    /// `--allow-origin '*'`.
    pub(super) fn log_warnings(&self, addresses: &[ListenAddress]) {
        let is_open = self.allow_from.is_empty() && self.basic_auth.is_none();
        let is_reachable = |address: &&ListenAddress| match address {
            ListenAddress::Tcp(address) => !is_loopback(address.ip()),
            ListenAddress::Unix(_) => false,
        };
        for address in addresses.iter().filter(is_reachable).filter(|_| is_open) {
            tracing::warn!(
                "{address} has no access control: any client that reaches it can publish, read, \
                 list \
                 and delete channels (restrict it with --allow-from or --basic-auth, or use \
                 --listen 127.0.0.1:PORT)"
            );
        }
        if self
            .allow_origin
            .iter()
            .any(|allowed| matches!(allowed, AllowedOrigin::All))
        {
            tracing::warn!(
                "--allow-origin '*': any web page in a browser on this machine can publish, read \
                 and delete channels"
            );
        }
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn allowed_origin(text: &str) -> Result<AllowedOrigin, String> {
    if text == "*" {
        return Ok(AllowedOrigin::All);
    }
    Origin::parse(text.strip_suffix('/').unwrap_or(text).as_bytes())
        .map(AllowedOrigin::Named)
        .ok_or_else(|| {
            "expected an origin such as https://app.example or http://localhost:8000, null, or *"
                .to_owned()
        })
}

fn server_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if name.is_empty() || split_port(&name).1.is_some() || !name.bytes().all(is_name) {
        return Err(
            "expected a host name such as push.example, without scheme, port and wildcards"
                .to_owned(),
        );
    }
    Ok(name)
}

/// Parses an address, a network or `unix:`.
pub(super) fn clients(text: &str) -> Result<Clients, String> {
    Clients::parse(text)
        .filter(|clients| *clients != Clients::All)
        .ok_or_else(|| {
            "expected an address such as 10.0.0.1, a network such as 10.0.0.0/8, or unix:"
                .to_owned()
        })
}
