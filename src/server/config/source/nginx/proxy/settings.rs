//! Settings of the locations that pass requests to a back-end.

use std::path::Path;
use std::sync::Arc;

use crate::server::config::model::proxy::{
    NextUpstream, ProxySettings, ResponseHeaders, resolve_upstream,
};
use crate::server::config::model::tls::{Identity, TlsOptions, TlsSettings};
use crate::server::config::source::nginx::files;
use crate::server::config::source::nginx::push_levels::ProxyLevel;
use crate::server::config::{Expression, Pattern, Upstreams};

impl ProxyLevel {
    /// The settings of a location with this pattern; `None` if it has no `proxy_pass`.
    ///
    /// # Errors
    /// An invalid address, or a TLS file that is unreadable or invalid.
    pub(in crate::server::config::source::nginx) fn settings(
        &self,
        pattern: &Pattern,
        upstreams: &Arc<Upstreams>,
    ) -> Result<Option<ProxySettings>, String> {
        let level = self.clone();
        let Some(pass) = level.pass else {
            return Ok(None);
        };
        let literal = pass.as_literal().map(<[u8]>::to_vec);
        let fixed = literal
            .as_deref()
            .map(|pass| resolve_upstream(pass, upstreams))
            .transpose()?;
        let may_use_tls = fixed.as_ref().is_none_or(|(_, is_tls)| *is_tls);
        let upstream = fixed.map(|(upstream, _)| upstream);
        let (tls, ssl_unsupported) = if may_use_tls {
            self.tls()?
        } else {
            (None, None)
        };
        let in_upstream = upstream
            .as_ref()
            .and_then(|upstream| upstream.unsupported.clone());
        let next = level.next_upstream.unwrap_or_default();
        let tries = level
            .next_tries
            .and_then(|tries| u32::try_from(tries).ok())
            .filter(|tries| *tries > 0);
        let next = NextUpstream {
            tries: next.tries.or(tries),
            within: level.next_timeout.filter(|time| !time.is_zero()),
            ..next
        };
        Ok(Some(ProxySettings {
            upstream,
            upstreams: Arc::clone(upstreams),
            has_variables: literal.is_none(),
            replaced: (literal.is_some() && !matches!(pattern, Pattern::Regex(_)))
                .then(|| pattern.text().len()),
            pass,
            headers: level.headers.unwrap_or_default(),
            passes_body: level.passes_body.unwrap_or(true),
            passes_headers: level.passes_headers.unwrap_or(true),
            method: level.method,
            timeout: level.timeout,
            connect_timeout: level.connect_timeout,
            next_upstream: Arc::new(next),
            response_headers: Arc::new(ResponseHeaders {
                hidden: level.hidden.unwrap_or_default(),
                passed: level.passed.unwrap_or_default(),
                ignores_redirect: level.ignores_redirect.unwrap_or(false),
            }),
            tls: tls.map(Arc::new),
            unsupported: level.unsupported.or(ssl_unsupported).or(in_upstream),
        }))
    }

    /// The settings of TLS, or the first unsupported one.
    fn tls(&self) -> Result<(Option<TlsSettings>, Option<String>), String> {
        if self.ssl_unsupported.is_some() {
            return Ok((None, self.ssl_unsupported.clone()));
        }
        let verifies = self.ssl_verify == Some(true);
        let trusted = match (&self.ssl_trusted, verifies) {
            (_, false) => None,
            (Some(path), true) => Some(read(path, "proxy_ssl_trusted_certificate")?),
            (None, true) => {
                return Err("no proxy_ssl_trusted_certificate for proxy_ssl_verify".to_owned());
            }
        };
        let certificate = self.ssl_certificate.as_ref();
        let key = self.ssl_certificate_key.as_ref();
        let names = [
            (certificate, "proxy_ssl_certificate"),
            (key, "proxy_ssl_certificate_key"),
        ];
        if let Some((_, name)) = names
            .into_iter()
            .find(|(path, _)| path.is_some_and(|path| !is_plain(path)))
        {
            return Ok((None, Some(format!("a value of \"{name}\" that is no path"))));
        }
        let identity = match (certificate, key) {
            (None, _) => None,
            (Some(path), None) => {
                return Err(format!(
                    "no \"proxy_ssl_certificate_key\" is defined for certificate \"{}\"",
                    path.display()
                ));
            }
            (Some(certificate), Some(key)) => {
                let certificate = read(certificate, "proxy_ssl_certificate")?;
                Some(Identity {
                    certificate,
                    key: read(key, "proxy_ssl_certificate_key")?,
                })
            }
        };
        const DEFAULT_DEPTH: u64 = 1;
        let options = TlsOptions {
            trusted,
            depth: usize::try_from(self.ssl_verify_depth.unwrap_or(DEFAULT_DEPTH))
                .unwrap_or(usize::MAX),
            sends_name: self.ssl_server_name.unwrap_or(false),
            identity,
            versions: self.ssl_protocols.clone().unwrap_or_default(),
        };
        let proxy_host = || Expression::parse(b"$proxy_host").unwrap_or_default();
        let name = self.ssl_name.clone().unwrap_or_else(proxy_host);
        Ok((
            Some(TlsSettings {
                client: Arc::new(options.client()?),
                name,
                verifies,
            }),
            None,
        ))
    }
}

/// Whether a value is a path, without variables, a key of an engine or inline data.
fn is_plain(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let name = text.rsplit('/').next().unwrap_or_default();
    !text.contains('$') && !name.starts_with("engine:") && !name.starts_with("data:")
}

fn read(path: &Path, directive: &str) -> Result<Vec<u8>, String> {
    // A fuzzer must not read files.
    if cfg!(fuzzing) {
        return Ok(Vec::new());
    }
    files::read(path)
        .map_err(|error| format!("\"{directive}\": cannot read {}: {error}", path.display()))
}
