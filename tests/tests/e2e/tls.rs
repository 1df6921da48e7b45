//! The real server behind TLS, and a certificate that is exchanged while it runs.

use std::path::Path;
use std::sync::Arc;

use chat_testkit::Certificate;
use chat_tests::ServerProcess;
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::client::soon;

/// Shakes hands with the server if it shows this very certificate.
async fn shake(server: &ServerProcess, trusted: &Path) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(trusted).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = soon(TcpStream::connect(server.address())).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    soon(TlsConnector::from(Arc::new(config)).connect(name, socket)).await
}

/// Whether somebody can say hello over this stream.
async fn says_hello(server: &ServerProcess, stream: TlsStream<TcpStream>) -> bool {
    let url = format!("wss://{}/ws", server.address());
    let (mut socket, _) = soon(Box::pin(client_async(url, stream))).await.unwrap();
    let hello = Message::text(r#"{"id":1,"op":"hello","user":"alice"}"#);
    soon(socket.send(hello)).await.unwrap();
    let answer = soon(socket.next()).await.unwrap().unwrap();
    answer.to_text().unwrap().contains("\"ok\"")
}

#[tokio::test]
async fn people_come_by_wss_and_a_new_certificate_needs_no_restart() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let (old, new) = (Certificate::make(), Certificate::make());
    for (certificate, name) in [(&old, "old"), (&new, "new"), (&old, "shown")] {
        certificate.write(directory.path(), name);
    }
    let (cert, key) = (file("shown.pem"), file("shown.key"));
    let server = ServerProcess::start(&[
        "--tls-cert",
        cert.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ]);
    server.wait_for_line("Chat is open at https://");
    let stream = shake(&server, &file("old.pem")).await.unwrap();
    assert!(says_hello(&server, stream).await);

    new.write(directory.path(), "shown");
    server.wait_for_line("certificate: loaded again");
    let stream = shake(&server, &file("new.pem")).await.unwrap();
    assert!(says_hello(&server, stream).await);
    assert!(shake(&server, &file("old.pem")).await.is_err());
}

#[test]
fn half_a_certificate_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        Certificate::make().write(directory.path(), name);
    }
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (cert, key) = (file("one.pem"), file("two.key"));
    let cases: &[(&[&str], &str)] = &[
        (&["--tls-cert", &cert], "--tls-cert: needs --tls-key FILE"),
        (&["--tls-key", &key], "--tls-key: needs --tls-cert FILE"),
        (
            &["--tls-cert", &cert, "--tls-key", &key],
            "the key is not the one of the certificate",
        ),
        (
            &["--tls-cert", "/nowhere", "--tls-key", &key],
            "/nowhere cannot be read",
        ),
    ];
    for (words, expected) in cases {
        let ended = ServerProcess::run(words, &[]);
        assert_eq!(ended.status.code(), Some(2), "{}", ended.output);
        assert!(ended.output.contains(expected), "{}", ended.output);
    }
}

/// Words behind `health`, variables, exit code, and what is said.
type HealthCase<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32, &'a str);

fn cert(file: &str) -> (&str, &str) {
    ("CHAT_TLS_CERT", file)
}

fn root(file: &str) -> (&str, &str) {
    ("SSL_CERT_FILE", file)
}

/// What a container says whose server was told by variables, as `health` is.
#[test]
fn a_health_check_believes_the_server_that_has_the_certificate_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for name in ["shown", "other"] {
        Certificate::make().write(directory.path(), name);
    }
    let (shown, other, key) = (file("shown.pem"), file("other.pem"), file("shown.key"));
    let told = [cert(&shown), ("CHAT_TLS_KEY", key.as_str())];
    let server = ServerProcess::start_with(&[], &told);
    server.wait_for_line("Chat is open at https://");
    let address = server.address().to_string();
    let url = format!("https://{address}/readyz");
    let listen = ("CHAT_LISTEN", address.as_str());
    let ready = "\"ready\":true";
    let cases: &[HealthCase<'_>] = &[
        (&[], &[listen, cert(&shown)], 0, ready),
        (&["--listen", &address, "--tls-cert", &shown], &[], 0, ready),
        (&["--url", &url], &[cert(&shown)], 0, ready),
        (&["--url", &url], &[root(&shown)], 0, ready),
        (&[], &[listen, cert(&other)], 1, "does not prove"),
        (&["--url", &url], &[root(&other)], 1, "is not trusted"),
        (
            &["--url", &url],
            &[root("/nowhere"), ("SSL_CERT_DIR", "")],
            1,
            "trusts no authority",
        ),
        (&[], &[listen], 1, "CHAT_TLS_CERT=FILE"),
        (&[], &[listen, cert(&key)], 1, "has no certificate"),
    ];
    for (words, variables, code, expected) in cases {
        let words: Vec<_> = ["health"]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        let ended = ServerProcess::run(&words, variables);
        assert_eq!(ended.status.code(), Some(*code), "{}", ended.output);
        assert!(ended.output.contains(expected), "{}", ended.output);
    }
}
