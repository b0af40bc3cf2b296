//! Hooks over TLS: certificates are verified only where configured, as by nginx, and as strictly as
//! configured.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use crate::support::{Directory, Reply, ScriptedBackend, Server, conf};

/// A certificate authority and its certificates: `server` for app.test and 127.0.0.1, `client`.
struct Certificates(Directory);

impl Certificates {
    fn new() -> Self {
        let directory = Directory::new("tls");
        let all = Self(directory);
        all.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj \
                     /CN=authority -keyout ca.key -out ca.pem",
        );
        all.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=other \
             -keyout other.key -out other.pem",
        );
        all.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=self \
             -addext subjectAltName=DNS:app.test \
             -keyout self.key -out self.pem",
        );
        for (name, subject) in [
            ("server", "DNS:app.test,IP:127.0.0.1"),
            ("client", "DNS:client.test"),
        ] {
            all.openssl(&format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout \
                 {name}.key -out {name}.csr"
            ));
            all.0.write(
                "extensions",
                &format!("subjectAltName={subject}\nbasicConstraints=CA:FALSE\n"),
            );
            all.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -days 30 \
                                  -extfile extensions -out {name}.pem"
            ));
        }
        all
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        let output = command
            .output()
            .expect("openssl is installed (apt-get install openssl)");
        assert!(
            output.status.success(),
            "openssl {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// TLS settings of a server with that certificate; with `asks` it requires a client certificate
    /// of the authority.
    fn server(&self, name: &str, asks: bool) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let certificate =
            |name: &str| CertificateDer::from_pem_file(self.path(name)).expect("a certificate");
        let builder = if asks {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(certificate("ca.pem")).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .expect("a verifier");
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).expect("a key");
        builder
            .with_single_cert(vec![certificate(&format!("{name}.pem"))], key)
            .expect("they belong together")
    }
}

/// A server whose hook uses the back-end over TLS.
fn server(backend: &ScriptedBackend, proxy: &str) -> Server {
    let http = format!(
        "upstream app.test {{ server {}; }} upstream my_app {{ server {0}; }}",
        backend.address
    );
    let pass = if proxy.contains("proxy_pass") {
        ""
    } else {
        "proxy_pass https://app.test/check;"
    };
    let locations = format!(
        "location = /auth {{ internal; {pass} {proxy} }}
        location = /pub {{ nchan_publisher; nchan_channel_id c; nchan_authorize_request /auth; }}
        location = /free {{ nchan_pubsub; nchan_channel_id c; }}"
    );
    Server::with_conf(&conf(&http, &locations))
}

fn status(server: &Server) -> u16 {
    server
        .connect()
        .request("POST", "/pub", &[], Some(b"hello"))
        .head
        .status
}

#[test]
fn https_back_ends_are_reached_without_verification_by_default() {
    let certificates = Certificates::new();
    for name in ["server", "self"] {
        let backend =
            ScriptedBackend::with_tls(certificates.server(name, false), |_| Reply::ok(""));
        let direct = format!("proxy_pass https://{}/check;", backend.address);
        for proxy in [
            "",
            "proxy_pass https://my_app/check;",
            "proxy_ssl_protocols TLSv1.2;",
            &direct,
        ] {
            assert_eq!(status(&server(&backend, proxy)), 202, "{name} {proxy}");
            let asked = backend.take();
            assert!(
                asked.len() == 1 && asked[0].starts_with("GET /check HTTP/1.1\r\n"),
                "no name is sent: {asked:?}"
            );
        }
        let with_name = server(&backend, "proxy_ssl_server_name on;");
        assert_eq!(status(&with_name), 202);
        assert!(backend.take()[0].starts_with("[app.test]GET "));
        let other_name = server(
            &backend,
            "proxy_ssl_server_name on; proxy_ssl_name other.test;",
        );
        assert_eq!(status(&other_name), 202);
        assert!(backend.take()[0].starts_with("[other.test]GET "));
    }
}

#[test]
fn certificates_are_verified_where_configured() {
    let certificates = Certificates::new();
    let verify = |trusted: &str| {
        format!(
            "proxy_ssl_verify on; proxy_ssl_trusted_certificate {};",
            certificates.path(trusted)
        )
    };
    for (name, proxy, expected) in [
        ("server", verify("ca.pem"), 202),
        ("server", verify("other.pem"), 502),
        (
            "server",
            verify("ca.pem") + "proxy_ssl_name other.test;",
            502,
        ),
        (
            "server",
            verify("ca.pem") + "proxy_pass https://my_app/check;",
            502,
        ),
        (
            "server",
            verify("ca.pem") + "proxy_pass https://my_app/check; proxy_ssl_name app.test;",
            202,
        ),
        ("self", verify("ca.pem"), 502),
        ("self", verify("self.pem"), 202),
        (
            "self",
            verify("self.pem") + "proxy_ssl_name other.test;",
            502,
        ),
    ] {
        let backend =
            ScriptedBackend::with_tls(certificates.server(name, false), |_| Reply::ok(""));
        assert_eq!(
            status(&server(&backend, &proxy)),
            expected,
            "{name} {proxy}"
        );
        assert_eq!(
            backend.take().len(),
            usize::from(expected == 202),
            "{name} {proxy}"
        );
    }
}

#[test]
fn client_certificates_are_sent_on_request() {
    let certificates = Certificates::new();
    let backend = ScriptedBackend::with_tls(certificates.server("server", true), |_| Reply::ok(""));
    let identity = format!(
        "proxy_ssl_certificate {}; proxy_ssl_certificate_key {};",
        certificates.path("client.pem"),
        certificates.path("client.key")
    );
    assert_eq!(
        [
            status(&server(&backend, &identity)),
            status(&server(&backend, ""))
        ],
        [202, 502]
    );
}

#[test]
fn unsupported_tls_settings_disable_only_their_locations() {
    let certificates = Certificates::new();
    let backend =
        ScriptedBackend::with_tls(certificates.server("server", false), |_| Reply::ok(""));
    for proxy in [
        "proxy_ssl_crl /x.pem;",
        "proxy_ssl_password_file /x;",
        "proxy_set_body $uri;",
        "proxy_ssl_protocols TLSv1;",
    ] {
        let server = server(&backend, proxy);
        assert_eq!(status(&server), 503, "{proxy}");
        assert_eq!(
            server
                .connect()
                .request("POST", "/free", &[], Some(b"hello"))
                .head
                .status,
            202,
            "{proxy}"
        );
        assert!(
            server.stderr().contains("answered with 503"),
            "{proxy}: {}",
            server.stderr()
        );
        assert!(backend.take().is_empty());
    }
}

#[test]
fn plain_back_ends_are_not_taken_for_https_ones() {
    let plain = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = plain.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut stream in plain.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let backend = ScriptedBackend::start(|_| Reply::ok(""));
    assert_eq!(
        status(&server(
            &backend,
            &format!("proxy_pass https://{address}/;")
        )),
        502
    );
}
