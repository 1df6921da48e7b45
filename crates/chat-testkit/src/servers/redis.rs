//! A private `redis-server`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::reply::Reply;
use crate::wait::{eventually, within};

/// How long a start, a stop or a command may take. A start with data reads it first.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a start is tried anew because somebody else took the port.
const STARTS_MAX: usize = 5;

/// How a private server is started.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// Keeps data over a kill too: every write is in the append-only file before it is answered.
    pub append_only: bool,
    /// Listens on a socket in its own directory only, on no port.
    pub unix_only: bool,
    /// Further arguments, such as `--maxmemory 4mb`, each word by itself.
    pub arguments: Vec<String>,
}

/// A private `redis-server` with a directory of its own. Killed when dropped, its data with it.
#[derive(Debug)]
pub struct RedisServer {
    options: RedisOptions,
    directory: TempDir,
    port: u16,
    child: Option<Child>,
}

trait Link: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Link for T {}

impl RedisServer {
    /// Starts one that keeps nothing when killed, on a free port.
    ///
    /// # Panics
    /// If `redis-server` is not installed, or does not start.
    pub async fn start() -> Self {
        Self::start_with(RedisOptions::default()).await
    }

    /// Starts one.
    ///
    /// # Panics
    /// If `redis-server` is not installed, or does not start.
    pub async fn start_with(options: RedisOptions) -> Self {
        let mut server = Self {
            options,
            directory: TempDir::with_prefix("chat-redis-").expect("a directory can be made"),
            port: 0,
            child: None,
        };
        for _ in 0..STARTS_MAX {
            server.port = server.free_port();
            if server.try_start().await {
                return server;
            }
        }
        panic!("redis-server does not start:\n{}", server.log());
    }

    /// Where it listens.
    ///
    /// # Panics
    /// If it listens on a socket only.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        assert!(!self.options.unix_only, "it has no port");
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its socket, if it listens on a socket only.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// As clients name it.
    #[must_use]
    pub fn url(&self) -> String {
        if self.options.unix_only {
            return format!("redis+unix://{}", self.socket().display());
        }
        format!("redis://{}/", self.address())
    }

    /// Stops it in peace; what it holds is saved.
    ///
    /// # Panics
    /// If it does not stop.
    pub async fn stop(&mut self) {
        // It answers by closing the connection.
        let _ = self.command(&["SHUTDOWN", "SAVE"]).await;
        let Some(mut child) = self.child.take() else {
            return;
        };
        eventually(PATIENCE, "redis-server stops", || {
            let ended = child.try_wait().expect("it is our child").is_some();
            async move { ended.then_some(()) }
        })
        .await;
    }

    /// Kills it as a power cut does: without `append_only` all data is lost, apart from what an
    /// earlier [`Self::stop`] saved.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is our child");
            child.wait().expect("it is our child");
        }
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], on the same port and data.
    ///
    /// # Panics
    /// If it does not start, or runs.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        assert!(
            self.try_start().await,
            "redis-server does not start again:\n{}",
            self.log()
        );
    }

    /// Lets it hang: connections stay open, nothing is answered, until [`Self::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Self::pause`].
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Forgets all data.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn flush_all(&self) {
        assert_eq!(self.must(&["FLUSHALL", "SYNC"]).await, "+OK");
    }

    /// Closes the connections of one kind, such as `pubsub`, from its side.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn kill_clients(&self, kind: &str) {
        self.must(&["CLIENT", "KILL", "TYPE", kind]).await;
    }

    /// Sends one command and answers the first line of the reply, with its type character.
    ///
    /// # Errors
    /// When it cannot be reached or closes the connection.
    ///
    /// # Panics
    /// If it does not answer at all.
    pub async fn command(&self, words: &[&str]) -> io::Result<String> {
        within(PATIENCE, "an answer of redis-server", self.ask(words)).await
    }

    /// Sends one command and answers the whole reply.
    ///
    /// # Panics
    /// If it cannot be reached, or does not answer.
    pub async fn query(&self, words: &[&str]) -> Reply {
        let reply = async {
            let mut link = self.say(words).await?;
            Reply::read(&mut link).await
        };
        within(PATIENCE, "an answer of redis-server", reply)
            .await
            .unwrap_or_else(|error: io::Error| panic!("{words:?}: {error}"))
    }

    /// The names of all keys, sorted.
    ///
    /// # Panics
    /// If it cannot be reached, or does not answer.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys = std::collections::BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let page = self.query(&["SCAN", &cursor, "COUNT", "1000"]).await;
            let mut texts = page.texts().into_iter();
            cursor = texts.next().expect("a cursor");
            keys.extend(texts);
            if cursor == "0" {
                return keys.into_iter().collect();
            }
        }
    }

    async fn must(&self, words: &[&str]) -> String {
        let answer = self.command(words).await;
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    async fn ask(&self, words: &[&str]) -> io::Result<String> {
        let mut link = self.say(words).await?;
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n") {
            let byte = link.read_u8().await?;
            reply.push(byte);
        }
        Ok(String::from_utf8_lossy(&reply).trim_end().to_owned())
    }

    async fn say(&self, words: &[&str]) -> io::Result<Box<dyn Link>> {
        let mut link: Box<dyn Link> = if self.options.unix_only {
            Box::new(UnixStream::connect(self.socket()).await?)
        } else {
            Box::new(TcpStream::connect(self.address()).await?)
        };
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        link.write_all(request.as_bytes()).await?;
        Ok(link)
    }

    /// Answers whether it came up: it does not if its port was taken meanwhile.
    async fn try_start(&mut self) -> bool {
        self.child = Some(self.spawn());
        loop {
            if self
                .command(&["PING"])
                .await
                .is_ok_and(|pong| pong == "+PONG")
            {
                return true;
            }
            let child = self.child.as_mut().expect("it was spawned");
            if child.try_wait().expect("it is our child").is_some() {
                self.child = None;
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn spawn(&self) -> Child {
        let socket = self.socket();
        let mut command = Command::new("redis-server");
        command
            .args(["--save", "", "--daemonize", "no", "--loglevel", "notice"])
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.directory.path())
            .arg("--logfile")
            .arg(self.log_file())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if self.options.unix_only {
            command.arg("--unixsocket").arg(&socket);
        }
        if self.options.append_only {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        command.args(&self.options.arguments);
        match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => panic!(
                "redis-server is not installed; install it: sudo apt-get install redis-server"
            ),
            Err(error) => panic!("redis-server cannot be started: {error}"),
        }
    }

    fn free_port(&self) -> u16 {
        if self.options.unix_only {
            return 0;
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        free.local_addr().expect("it is bound").port()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let id = i32::try_from(child.id()).expect("a process id");
        let id = Pid::from_raw(id).expect("a process id is not 0");
        kill_process(id, signal).expect("it is our child");
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("redis.log")
    }

    fn log(&self) -> String {
        read_or_why(&self.log_file())
    }
}

fn read_or_why(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| format!("no log: {error}"))
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Nothing can be done about it here, and a panic in a drop would hide the test's own.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
