//! Options about a proxy in front of the server.

use crate::server::config::ConnectionLimits;
use crate::server::config::model::clients::{Clients, RealIp};
use crate::server::config::source::FrontEnforces;
use crate::server::config::source::ImportOptions;

use super::access::clients;

/// Options about the proxy in front.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Proxy in front")]
pub(super) struct FrontOptions {
    /// Trust the proxy at this address or network (or unix:) to set X-Real-IP (repeatable)
    ///
    /// Replaces set_real_ip_from and real_ip_header of the configuration. Access rules, logs and
    /// $remote_addr then see the clients behind the proxy; --max-connections-per-address still
    /// counts the connections of the proxy.
    #[arg(long, value_name = "ADDR", value_parser = clients, hide_short_help = true)]
    real_ip_from: Vec<Clients>,
    /// Serve push locations whose unsupported directives the proxy enforces (repeatable)
    ///
    /// DIRECTIVE is a directive that pushctl does not enforce, `internal` for internal locations to
    /// which the proxy has redirected a request, or `all`. These locations accept requests from the
    /// proxy of --real-ip-from only; other clients get 403. 'pushctl check --front' prints the
    /// configuration of such a proxy.
    #[arg(
        long,
        value_name = "DIRECTIVE",
        value_delimiter = ',',
        requires = "real_ip_from",
        hide_short_help = true
    )]
    pub(super) front_enforces: Vec<String>,
}

impl FrontOptions {
    /// Effect of the proxy on the import of a configuration file.
    pub(super) fn import_options(&self) -> ImportOptions {
        ImportOptions {
            front_enforces: FrontEnforces(self.front_enforces.clone()),
            has_front_address: !self.real_ip_from.is_empty(),
        }
    }

    /// Overrides the trusted proxies of the configuration.
    pub(super) fn apply(&self, limits: &mut ConnectionLimits) {
        if !self.real_ip_from.is_empty() {
            limits.real_ip = Some(RealIp::from_x_real_ip(self.real_ip_from.clone()).into());
        }
    }
}
