//! TLS client settings for connections to back-ends (nginx: `proxy_ssl_*`).
//!
//! As in nginx, certificates of back-ends are verified only with `proxy_ssl_verify on`, and SNI is
//! sent only with `proxy_ssl_server_name on`. Stricter than nginx in one point: the name must be
//! one of the subject alternative names; the common name is ignored.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

use crate::server::config::Expression;

/// Settings of connections over TLS.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The configuration for rustls.
    pub client: Arc<ClientConfig>,
    /// `proxy_ssl_name`: the name of the back-end.
    pub name: Expression,
    /// `proxy_ssl_verify`: a `name` that is not a valid host name is an error.
    pub verifies: bool,
}

/// The directives, with the content of the files that they name.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// `proxy_ssl_verify on`: the trusted CA certificates, in PEM.
    pub trusted: Option<Vec<u8>>,
    /// `proxy_ssl_verify_depth`: maximum number of intermediate certificates.
    pub depth: usize,
    /// `proxy_ssl_server_name on`
    pub sends_name: bool,
    /// `proxy_ssl_certificate` and `proxy_ssl_certificate_key`
    pub identity: Option<Identity>,
    /// `proxy_ssl_protocols`; empty = all that are supported.
    pub versions: Vec<&'static SupportedProtocolVersion>,
}

/// The client certificate.
#[derive(Clone, Default)]
pub struct Identity {
    /// The certificate and its intermediate certificates, in PEM.
    pub certificate: Vec<u8>,
    /// The private key, in PEM.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Identity")
    }
}

impl TlsOptions {
    /// Creates the configuration for rustls.
    ///
    /// # Errors
    /// A file is invalid; the text names its directive.
    pub fn client(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = if self.versions.is_empty() {
            rustls::ALL_VERSIONS.to_vec()
        } else {
            self.versions.clone()
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?;
        let verifier: Arc<dyn ServerCertVerifier> = match &self.trusted {
            Some(trusted) => Arc::new(AuthorityVerifier::new(trusted, self.depth, &provider)?),
            None => Arc::new(NoVerifier { provider }),
        };
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut client = match &self.identity {
            Some(Identity { certificate, key }) => {
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| format!("\"proxy_ssl_certificate_key\": {error}"))?;
                let chain = certificates(certificate)
                    .map_err(|error| format!("\"proxy_ssl_certificate\": {error}"))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("\"proxy_ssl_certificate\": {error}"))?
            }
            None => builder.with_no_client_auth(),
        };
        client.enable_sni = self.sends_name;
        Ok(client)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    if all.is_empty() {
        Err("no certificate in the file".to_owned())
    } else {
        Ok(all)
    }
}

/// Accepts every certificate, as nginx does by default. The signatures of the handshake are
/// verified.
#[derive(Debug)]
struct NoVerifier {
    provider: Arc<CryptoProvider>,
}

/// Accepts certificates that are signed by a trusted authority, and certificates that are in the
/// trusted set themselves.
#[derive(Debug)]
struct AuthorityVerifier {
    trusted: Vec<CertificateDer<'static>>,
    depth: usize,
    inner: Arc<WebPkiServerVerifier>,
}

impl AuthorityVerifier {
    fn new(pem: &[u8], depth: usize, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let name_directive = |error: String| format!("\"proxy_ssl_trusted_certificate\": {error}");
        let trusted = certificates(pem).map_err(name_directive)?;
        let mut roots = RootCertStore::empty();
        for certificate in &trusted {
            roots
                .add(certificate.clone())
                .map_err(|error| name_directive(error.to_string()))?;
        }
        let inner =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let inner = inner
            .build()
            .map_err(|error| name_directive(error.to_string()))?;
        Ok(Self {
            trusted,
            depth,
            inner,
        })
    }
}

impl ServerCertVerifier for AuthorityVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Chains are sent in order, so certificates beyond the maximum depth are at the end.
        let intermediates = &intermediates[..intermediates.len().min(self.depth)];
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // webpki rejects a self-signed certificate of a server, because it is a CA certificate.
            Err(Error::InvalidCertificate(rustls::CertificateError::Other(_)))
                if self.trusted.iter().any(|known| known == end_entity) =>
            {
                let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
