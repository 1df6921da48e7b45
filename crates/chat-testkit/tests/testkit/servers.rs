//! The private servers and the proxy do what they say.

use std::net::SocketAddr;
use std::time::Duration;

use chat_testkit::servers::{RedisOptions, RedisServer, TcpProxy};
use chat_testkit::{eventually, run, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);

async fn value_of(server: &RedisServer, key: &str) -> String {
    // The first line of a string is its length; nothing is `$-1`.
    server.command(&["GET", key]).await.unwrap()
}

#[test]
fn redis_keeps_its_data_over_a_stop_and_loses_it_when_killed() {
    run(async {
        let mut server = RedisServer::start().await;
        let address = server.address();
        assert_eq!(server.command(&["SET", "k", "four"]).await.unwrap(), "+OK");
        server.stop().await;
        assert!(server.command(&["PING"]).await.is_err());
        server.start_again().await;
        assert_eq!(server.address(), address);
        assert_eq!(value_of(&server, "k").await, "$4");
        server.flush_all().await;
        server.command(&["SET", "other", "x"]).await.unwrap();
        server.kill();
        server.start_again().await;
        assert_eq!(value_of(&server, "other").await, "$-1");
    });
}

#[test]
fn an_append_only_redis_on_a_socket_survives_a_kill() {
    run(async {
        let options = RedisOptions {
            append_only: true,
            unix_only: true,
            ..RedisOptions::default()
        };
        let mut server = RedisServer::start_with(options).await;
        server.command(&["SET", "k", "four"]).await.unwrap();
        server.kill();
        server.start_again().await;
        assert_eq!(value_of(&server, "k").await, "$4");
        let directory = server.socket().parent().unwrap().to_owned();
        drop(server);
        assert!(!directory.exists(), "nothing is left behind");
    });
}

#[test]
fn a_paused_redis_is_connected_and_silent() {
    run(async {
        let server = RedisServer::start().await;
        server.pause();
        {
            let ping = server.command(&["PING"]);
            tokio::pin!(ping);
            let early = tokio::time::timeout(Duration::from_millis(100), &mut ping).await;
            assert!(early.is_err(), "{early:?}");
            server.resume();
            assert_eq!(ping.await.unwrap(), "+PONG");
        }
    });
}

/// A server that sends back what it is sent.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

/// Sends a byte and waits for what comes back: nothing at the end of the connection.
async fn ask(stream: &mut TcpStream) -> Option<u8> {
    stream.write_u8(7).await.ok()?;
    stream.read_u8().await.ok()
}

async fn connect(proxy: &TcpProxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

#[test]
fn the_proxy_cuts_refuses_and_moves_connections() {
    run(async {
        let proxy = TcpProxy::start(echo().await).await;
        let (mut first, mut second) = (connect(&proxy).await, connect(&proxy).await);
        for stream in [&mut first, &mut second] {
            assert_eq!(within(PATIENCE, "an echo", ask(stream)).await, Some(7));
        }
        let [number, _] = proxy.connections()[..] else {
            panic!("{:?}", proxy.connections());
        };
        proxy.cut(number);
        let ended = within(PATIENCE, "an end", ask(&mut first)).await;
        assert_eq!(ended, None);
        assert_eq!(ask(&mut second).await, Some(7), "only one was cut");
        proxy.refuse(true);
        let refused = within(PATIENCE, "an end", async {
            ask(&mut connect(&proxy).await).await
        });
        assert_eq!(refused.await, None);
        proxy.cut_all();
        assert_eq!(within(PATIENCE, "an end", ask(&mut second)).await, None);
        let proxy = &proxy;
        eventually(PATIENCE, "all are gone", || async move {
            proxy.connections().is_empty().then_some(())
        })
        .await;
        proxy.refuse(false);
        proxy.set_upstream(echo().await);
        let again = within(PATIENCE, "an echo", async {
            ask(&mut connect(proxy).await).await
        });
        assert_eq!(again.await, Some(7));
    });
}

#[test]
fn the_proxy_stalls_and_slows_down_connections() {
    run(async {
        let proxy = TcpProxy::start(echo().await).await;
        let (mut stalled, mut other) = (connect(&proxy).await, connect(&proxy).await);
        for stream in [&mut stalled, &mut other] {
            assert_eq!(within(PATIENCE, "an echo", ask(stream)).await, Some(7));
        }
        proxy.stall_one(proxy.connections()[0], true);
        {
            let asked = ask(&mut stalled);
            tokio::pin!(asked);
            let early = tokio::time::timeout(Duration::from_millis(50), &mut asked).await;
            assert!(early.is_err(), "{early:?}");
            assert_eq!(ask(&mut other).await, Some(7));
            proxy.stall(false);
            assert_eq!(within(PATIENCE, "an echo", asked).await, Some(7));
        }
        let delay = Duration::from_millis(50);
        proxy.slow_down(delay);
        let started = std::time::Instant::now();
        assert_eq!(ask(&mut stalled).await, Some(7));
        assert!(started.elapsed() >= delay * 2, "there and back");
    });
}
