//! Private PostgreSQL servers: one of a test's own, which it may kill, or a database of its own on
//! one that all tests of a run share.
//!
//! PostgreSQL refuses to run as root, so that whoever is root starts it as the user `postgres`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

mod shared;

pub use shared::PostgresDatabase;

/// How long a start, a stop or a command may take. A start after a kill recovers first.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a start is tried anew because somebody else took the port.
const STARTS_MAX: usize = 5;
/// The name of a database that every server has.
const ANY_DATABASE: &str = "postgres";
const SUPERUSER: &str = "postgres";

/// How a private server is started.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Syncs what it commits. Without, a kill of the processes still loses nothing: only the
    /// machine must not stop.
    pub sync: bool,
    /// Further settings, such as `max_connections=20`.
    pub settings: Vec<String>,
}

/// A private PostgreSQL server with a directory of its own. Killed when dropped, its data with it.
#[derive(Debug)]
pub struct PostgresServer {
    options: PostgresOptions,
    directory: TempDir,
    port: u16,
    child: Option<Child>,
}

impl PostgresServer {
    /// Starts one.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    pub async fn start() -> Self {
        Self::start_with(PostgresOptions::default()).await
    }

    /// Starts one.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    pub async fn start_with(options: PostgresOptions) -> Self {
        let start = move || {
            let directory =
                TempDir::with_prefix("chat-postgres-").expect("a directory can be made");
            let server = Self {
                options,
                directory,
                port: 0,
                child: None,
            };
            server.prepared()
        };
        tokio::task::spawn_blocking(start).await.expect("it starts")
    }

    fn prepared(mut self) -> Self {
        give_away(self.directory.path());
        init(&self.data());
        for _ in 0..STARTS_MAX {
            self.port = free_port();
            if self.try_start() {
                return self;
            }
        }
        panic!("PostgreSQL does not start:\n{}", self.log());
    }

    /// Where it listens, on the loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As clients name its first database.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port, ANY_DATABASE)
    }

    /// Runs statements as its superuser and answers the rows, a line each.
    ///
    /// # Panics
    /// If it cannot be reached, or refuses.
    #[must_use]
    pub fn sql(&self, sql: &str) -> String {
        psql(self.port, ANY_DATABASE, sql)
    }

    /// Closes all connections but those of [`Self::sql`], from its side.
    ///
    /// # Panics
    /// If it cannot be reached.
    pub fn cut_connections(&self) {
        let _ = self.sql(CUT);
    }

    /// Stops it in peace, connections or not.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn stop(&mut self) {
        self.signal(Signal::INT);
        self.wait();
    }

    /// Kills it as a power cut does, all of its processes at once.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&mut self) {
        if let Some(child) = &self.child {
            kill_tree(child.id());
        }
        self.wait();
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], on the same port and data.
    ///
    /// # Panics
    /// If it does not start, or runs.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        // Killed processes may still hold the shared memory for a moment.
        let deadline = Instant::now() + PATIENCE;
        while !self.try_start() {
            assert!(
                Instant::now() < deadline,
                "PostgreSQL does not start again:\n{}",
                self.log()
            );
        }
    }

    /// Lets it hang: connections stay open, nothing is answered, until [`Self::resume`].
    ///
    /// # Panics
    /// If it does not run.
    pub fn pause(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Lets it go on after [`Self::pause`].
    ///
    /// # Panics
    /// If it does not run.
    pub fn resume(&self) {
        self.signal_all(Signal::CONT);
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.path().join("log"));
        log.unwrap_or_else(|error| format!("no log: {error}"))
    }

    /// Answers whether it came up: it does not if its port was taken meanwhile.
    fn try_start(&mut self) -> bool {
        self.child = came_up(
            serve(self.directory.path(), self.port, &self.options),
            self.port,
        );
        self.child.is_some()
    }

    fn wait(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().expect("it is our child").is_none() {
            assert!(Instant::now() < deadline, "PostgreSQL does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        send(child.id(), signal);
    }

    fn signal_all(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs").id();
        // The one that makes the others first: it shall make no more of them.
        send(child, signal);
        for process in children(child) {
            send(process, signal);
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill_tree(child.id());
            // Nothing can be done about it here, and a panic in a drop would hide the test's own.
            let _ = child.wait();
        }
    }
}

const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
     WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";

fn url(port: u16, database: &str) -> String {
    format!("postgres://{SUPERUSER}@127.0.0.1:{port}/{database}")
}

/// Starts the server of a directory that [`give_away`] and [`init`] prepared.
fn serve(directory: &Path, port: u16, options: &PostgresOptions) -> Child {
    let mut command = tool("postgres");
    command
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", ""])
        .args(["-c", "shared_buffers=32MB", "-c", "max_connections=200"])
        .args(["-c", "autovacuum_naptime=10min"]);
    if !options.sync {
        command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
    }
    for setting in &options.settings {
        command.arg("-c").arg(setting);
    }
    let log = fs::File::options()
        .append(true)
        .create(true)
        .open(directory.join("log"))
        .expect("a file can be made");
    // A group of its own: Ctrl-C in a terminal ends the tests, and those end it.
    command.process_group(0);
    quiet(&mut command).stderr(log);
    command.spawn().unwrap_or_else(|error| lacking(&error))
}

/// Waits until a server answers; nothing if it ends instead, or never does.
fn came_up(mut child: Child, port: u16) -> Option<Child> {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("it is our child").is_none() {
        if is_ready(port) {
            return Some(child);
        }
        if Instant::now() > deadline {
            kill_tree(child.id());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Makes an empty cluster.
fn init(data: &Path) {
    let mut command = tool("initdb");
    command
        .arg("-D")
        .arg(data)
        .args(["-U", SUPERUSER, "--auth=trust", "--no-sync"])
        .args(["--encoding=UTF8", "--locale=C", "--no-instructions"]);
    succeed(&mut command);
}

fn psql(port: u16, database: &str, sql: &str) -> String {
    let mut command = tool("psql");
    command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    command.arg(url(port, database));
    let output = succeed(&mut command);
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

fn is_ready(port: u16) -> bool {
    // Cheaper than a program, until there is somebody to ask.
    if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        return false;
    }
    let mut command = tool("pg_isready");
    command.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
    quiet(&mut command)
        .status()
        .is_ok_and(|status| status.success())
}

fn succeed(command: &mut Command) -> Output {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| lacking(&error));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

/// A program of PostgreSQL, run as whoever may.
fn tool(name: &str) -> Command {
    let mut command = Command::new(program(name));
    command.current_dir("/");
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command
}

/// Debian keeps the server's programs out of the PATH.
fn program(name: &str) -> OsString {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let installed = versions
        .filter_map(Result::ok)
        .filter_map(|version| {
            let number: u32 = version.file_name().to_str()?.parse().ok()?;
            let program = version.path().join("bin").join(name);
            program.exists().then_some((number, program))
        })
        .max();
    installed.map_or_else(|| name.into(), |(_, program)| program.into())
}

fn lacking(error: &io::Error) -> ! {
    if error.kind() == io::ErrorKind::NotFound {
        panic!("PostgreSQL is not installed; install it: sudo apt-get install postgresql");
    }
    panic!("PostgreSQL cannot be started: {error}");
}

/// The user and group that PostgreSQL runs as, where we are root.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("users are listed");
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next()? == name;
            let (user, group) = (fields.nth(1)?, fields.next()?);
            found.then_some((user.parse().ok()?, group.parse().ok()?))
        })
    };
    let found = find("postgres").or_else(|| find("nobody"));
    Some(found.expect("there is a user that is not root"))
}

/// Gives a directory to whoever PostgreSQL runs as.
fn give_away(directory: &Path) {
    if let Some((user, group)) = unprivileged() {
        std::os::unix::fs::chown(directory, Some(user), Some(group)).expect("we are root");
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    free.local_addr().expect("it is bound").port()
}

fn send(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    if let Some(process) = process {
        // It may have ended meanwhile.
        let _ = kill_process(process, signal);
    }
}

fn kill_tree(parent: u32) {
    let children = children(parent);
    send(parent, Signal::KILL);
    for process in children {
        send(process, Signal::KILL);
    }
}

/// The processes that a process started, without theirs.
fn children(parent: u32) -> Vec<u32> {
    let output = Command::new("ps")
        .args(["-A", "-o", "pid=,ppid="])
        .output()
        .expect("ps is everywhere");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pair = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    text.lines()
        .filter_map(pair)
        .filter_map(|(process, of)| (of == parent).then_some(process))
        .collect()
}
