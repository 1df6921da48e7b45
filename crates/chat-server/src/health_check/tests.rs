//! Whom the check believes, over real sockets; and whom it takes for the server that is meant.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use chat_testkit::Certificate;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const READY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";

/// Shows a certificate, whether the key is its own or not.
fn shows(chain: &[u8], key: &[u8]) -> TlsAcceptor {
    shows_by(&[&TLS12, &TLS13], chain, key)
}

fn shows_by(
    versions: &[&'static SupportedProtocolVersion],
    chain: &[u8],
    key: &[u8],
) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(chain).unwrap()];
    let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    TlsAcceptor::from(Arc::new(config))
}

/// A server that is always ready, and shows one certificate after the other, the last one for ever.
async fn serve(acceptors: Vec<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let last = acceptors.last().unwrap().clone();
        let mut acceptors = acceptors.into_iter();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = acceptors.next().unwrap_or_else(|| last.clone());
            // Whoever does not believe it hangs up.
            let Ok(mut stream) = acceptor.accept(socket).await else {
                continue;
            };
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok() {
                let _gone = stream.write_all(READY).await;
                let _gone = stream.shutdown().await;
            }
        }
    });
    address
}

fn file(chain: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(chain).unwrap();
    file
}

fn pinned(address: SocketAddr, file: &NamedTempFile) -> Target {
    Target {
        url: format!("https://{address}/readyz").parse().unwrap(),
        trust: Some(Trust::Pinned(file.path().to_owned())),
    }
}

#[tokio::test]
async fn the_server_with_the_certificate_is_believed_whatever_its_name_is() {
    let ours = Certificate::named("DNS:chat.example");
    let address = serve(vec![shows(&ours.chain, &ours.key)]).await;
    let (status, body) = pinned(address, &file(&ours.chain))
        .ask_once()
        .await
        .unwrap();
    assert_eq!((status, body.as_str()), (StatusCode::OK, "{}"));
}

#[tokio::test]
async fn another_certificate_is_refused_even_with_the_right_name() {
    let (ours, other) = (Certificate::make(), Certificate::make());
    let address = serve(vec![shows(&other.chain, &other.key)]).await;
    let file = file(&ours.chain);
    let refused = pinned(address, &file).ask_once().await.unwrap_err();
    assert!(
        matches!(refused, HealthError::OtherCertificate { .. }),
        "{refused:?}"
    );
    let text = refused.to_string();
    assert!(text.contains(file.path().to_str().unwrap()), "{text}");
}

/// The certificate alone is public.
#[tokio::test]
async fn whoever_shows_the_certificate_without_having_its_key_is_refused() {
    let (ours, other) = (Certificate::make(), Certificate::make());
    let file = file(&ours.chain);
    for version in [&TLS12, &TLS13] {
        let impostor = shows_by(&[version], &ours.chain, &other.key);
        let refused = pinned(serve(vec![impostor]).await, &file).ask_once().await;
        assert!(
            matches!(refused, Err(HealthError::OtherCertificate { .. })),
            "{version:?}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn an_exchanged_certificate_is_waited_for() {
    let (old, new) = (Certificate::make(), Certificate::make());
    let shown = [&old, &new].map(|shown| shows(&shown.chain, &shown.key));
    let address = serve(shown.into()).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let answer = pinned(address, &file(&new.chain)).ask_until(deadline).await;
    assert_eq!(answer.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn a_server_with_tls_and_one_without_are_told_apart() {
    let ours = Certificate::make();
    let address = serve(vec![shows(&ours.chain, &ours.key)]).await;
    let plain = Target {
        trust: None,
        ..pinned(address, &file(&ours.chain))
    };
    let refused = plain.ask_once().await.unwrap_err();
    assert!(matches!(refused, HealthError::NotHttp { .. }), "{refused}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(READY).await.unwrap();
        // Until the other end hangs up.
        let _end = socket.read_to_end(&mut Vec::new()).await;
    });
    let file = file(&ours.chain);
    let refused = pinned(address, &file).ask_once().await.unwrap_err();
    assert!(matches!(refused, HealthError::NotTls { .. }), "{refused}");
}

#[tokio::test]
async fn what_is_no_certificate_is_told() {
    let ours = Certificate::make();
    let address = serve(vec![shows(&ours.chain, &ours.key)]).await;
    let (key, gone) = (file(&ours.key), file(b""));
    let gone_path = gone.path().to_owned();
    let refused = pinned(address, &key).ask_once().await.unwrap_err();
    assert!(refused.to_string().contains("has no certificate in PEM"));
    let target = pinned(address, &gone);
    drop(gone);
    let refused = target.ask_once().await.unwrap_err().to_string();
    assert!(
        refused.contains(gone_path.to_str().unwrap()) && refused.contains("cannot be read"),
        "{refused}"
    );
}

/// The URL that is asked, and whom it believes.
fn found(args: &HealthArgs, variables: &[(&str, &str)]) -> (String, Option<Trust>) {
    let pairs = variables.iter();
    let environment = pairs.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let target = Target::find(args, &environment.collect()).unwrap();
    (target.url.to_string(), target.trust)
}

fn at(url: &str) -> HealthArgs {
    HealthArgs {
        url: Some(url.to_owned()),
        ..HealthArgs::default()
    }
}

#[test]
fn the_server_that_was_told_the_same_is_asked() {
    let nothing = HealthArgs::default();
    let own = |file: &str| Some(Trust::Pinned(file.into()));
    let here = "http://127.0.0.1:8080/readyz".to_owned();
    assert_eq!(found(&nothing, &[]), (here, None));
    let told = [
        ("CHAT_LISTEN", "0.0.0.0:8443"),
        ("CHAT_TLS_CERT", "chain.pem"),
    ];
    let here = "https://127.0.0.1:8443/readyz".to_owned();
    assert_eq!(found(&nothing, &told), (here, own("chain.pem")));
    let toml = file(b"listen = \"[::]:9\"\ntls_cert = \"of-file.pem\"\nauth = \"jwt\"\n");
    let config = [("CHAT_CONFIG", toml.path().to_str().unwrap())];
    let here = "https://[::1]:9/readyz".to_owned();
    assert_eq!(found(&nothing, &config), (here, own("of-file.pem")));
    let flags = HealthArgs {
        listen: Some("127.0.0.1:7".to_owned()),
        tls_cert: Some("of-flag.pem".to_owned()),
        ..HealthArgs::default()
    };
    let here = "https://127.0.0.1:7/readyz".to_owned();
    assert_eq!(found(&flags, &told), (here, own("of-flag.pem")));
}

#[test]
fn the_own_certificate_is_expected_of_this_machine_alone() {
    let told = [("CHAT_TLS_CERT", "chain.pem")];
    let own = Some(Trust::Pinned("chain.pem".into()));
    for url in [
        "https://127.0.0.1:1/readyz",
        "https://[::1]:1/",
        "https://localhost/",
    ] {
        assert_eq!(found(&at(url), &told).1, own, "{url}");
        assert_eq!(found(&at(url), &[]).1, Some(Trust::System), "{url}");
        let plain = url.replace("https", "http");
        assert_eq!(found(&at(&plain), &told).1, None, "{plain}");
    }
    for url in [
        "https://chat.example/readyz",
        "https://10.0.0.1/",
        "https://localhost.example/",
    ] {
        assert_eq!(found(&at(url), &told).1, Some(Trust::System), "{url}");
        let asked_for = HealthArgs {
            tls_cert: Some("chain.pem".to_owned()),
            ..at(url)
        };
        assert_eq!(found(&asked_for, &[]).1, own, "{url}");
    }
}

#[test]
fn what_cannot_be_asked_is_refused() {
    for url in ["", "here", "ftp://x/", "https://", "http:///readyz"] {
        let refused = Target::find(&at(url), &Environment::new());
        assert!(matches!(refused, Err(HealthError::BadUrl(_))), "{url}");
    }
    let wrong = Environment::from([("CHAT_LISTEN".to_owned(), "here".to_owned())]);
    let refused = Target::find(&HealthArgs::default(), &wrong).unwrap_err();
    assert!(refused.to_string().contains("CHAT_LISTEN"), "{refused}");
}
