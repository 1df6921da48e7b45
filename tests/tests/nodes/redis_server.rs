//! What a Redis must be like, and what is said of one that is not.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use chat_testkit::servers::{RedisOptions, RedisServer};
use chat_tests::ServerProcess;

use crate::crowd::until_ready;
use crate::person::Person;

/// Answers what a driver asks at its start as a Redis of that version does, for as long as the test
/// runs.
fn pretend(listener: TcpListener, version: &'static str) {
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            // Whoever hangs up has heard enough.
            thread::spawn(move || drop(answer(socket, version)));
        }
    });
}

fn answer(socket: TcpStream, version: &str) -> std::io::Result<()> {
    let mut says = socket.try_clone()?;
    let mut asks = BufReader::new(socket);
    while let Some(words) = read_command(&mut asks)? {
        let info = format!("redis_version:{version}\r\nmaxmemory_policy:noeviction\r\n");
        let reply = match words[0].to_ascii_uppercase().as_str() {
            "INFO" => format!("${}\r\n{info}\r\n", info.len()),
            "TIME" => "*2\r\n$1\r\n1\r\n$1\r\n0\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        };
        says.write_all(reply.as_bytes())?;
    }
    Ok(())
}

fn read_command(asks: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<String>>> {
    let mut line = String::new();
    if asks.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let number = |line: &str| line.trim_end()[1..].parse::<usize>().unwrap();
    let mut words = Vec::new();
    for _ in 0..number(&line) {
        line.clear();
        asks.read_line(&mut line)?;
        let mut word = vec![0; number(&line) + 2];
        asks.read_exact(&mut word)?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Ok(Some(words))
}

fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

#[test]
fn one_that_is_too_old_is_refused_at_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    pretend(listener, "6.0.16");
    let ended = ServerProcess::run(&["--listen", "127.0.0.1:0", "--redis", &url], &[]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    let why = "Redis 6.0.16 is too old: 6.2 is the least";
    assert!(ended.output.contains(why), "{}", ended.output);
}

#[test]
fn one_that_comes_later_and_is_too_old_ends_the_server() {
    let address = free_address();
    let server = ServerProcess::start(&["--redis", &format!("redis://{address}")]);
    server.wait_for_line("waiting for Redis");
    pretend(TcpListener::bind(address).unwrap(), "5.0.7");
    let ended = server.wait_exit();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    assert!(
        ended.output.contains("Redis 5.0.7 is too old"),
        "{}",
        ended.output
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_take_the_password_is_refused_at_the_start() {
    let redis = RedisServer::start().await;
    let protect = redis.command(&["CONFIG", "SET", "requirepass", "right"]);
    assert_eq!(protect.await.unwrap(), "+OK");
    for credentials in ["", ":wrong@"] {
        let url = redis.url().replace("//", &format!("//{credentials}"));
        let ended = ServerProcess::run(&["--listen", "127.0.0.1:0", "--redis", &url], &[]);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        let why = "check user, password and database of the address";
        assert!(ended.output.contains(why), "{}", ended.output);
        assert!(!ended.output.contains("wrong"), "{}", ended.output);
    }
    let url = redis.url().replace("//", "//:right@");
    let server = ServerProcess::start(&["--redis", &url]);
    until_ready(&server, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_throws_away_what_it_keeps_is_warned_of() {
    let redis = RedisServer::start_with(RedisOptions {
        arguments: ["--maxmemory-policy", "allkeys-lru"]
            .map(str::to_owned)
            .into(),
        ..RedisOptions::default()
    })
    .await;
    let server = ServerProcess::start(&["--redis", &redis.url()]);
    server.wait_for_line("maxmemory-policy is allkeys-lru");
    server.wait_for_line("set it to noeviction");
    until_ready(&server, 200).await;
}

/// A certificate for this machine, signed by itself, and its key.
fn certify(directory: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=redis"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(directory)
        .output();
    let made = made.expect("openssl is not installed; install it: sudo apt-get install openssl");
    assert!(made.status.success(), "{made:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_behind_tls_is_used_if_its_certificate_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path());
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let tls = free_address();
    let arguments = [
        ["--tls-port", &tls.port().to_string()],
        ["--tls-cert-file", &file("certificate.pem")],
        ["--tls-key-file", &file("key.pem")],
        ["--tls-auth-clients", "no"],
    ];
    let _redis = RedisServer::start_with(RedisOptions {
        arguments: arguments.concat().into_iter().map(str::to_owned).collect(),
        ..RedisOptions::default()
    })
    .await;
    let url = format!("rediss://{tls}");
    let trust = [("SSL_CERT_FILE", file("certificate.pem"))];
    let trust = trust
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let nodes = [0, 1].map(|_| ServerProcess::start_with(&["--redis", &url], &trust));
    let mut alice = Person::enter(&nodes[0], "alice").await;
    let mut bob = Person::enter(&nodes[1], "bob").await;
    alice.say("in private").await;
    for person in [&mut alice, &mut bob] {
        person.until_said("in private").await;
    }

    let stranger = ServerProcess::start(&["--redis", &url]);
    stranger.wait_for_line("invalid peer certificate");
    until_ready(&stranger, 503).await;
}
