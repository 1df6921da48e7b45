//! One server for all tests of a run, and a database of its own for each test.
//!
//! Under cargo-nextest every test is a process, so the server cannot belong to one of them: the first
//! that needs it starts it, under a lock, and a watcher ends it when the run is over, however that
//! ends. Elsewhere a run is the process of the tests.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{
    ANY_DATABASE, CUT, PostgresOptions, STARTS_MAX, came_up, free_port, give_away, init, is_ready,
    psql, quiet, serve, url,
};

/// A database on the server of this run. Dropped with everything in it.
#[derive(Debug)]
pub struct PostgresDatabase {
    port: u16,
    name: String,
}

impl PostgresDatabase {
    /// Makes an empty one.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    pub async fn create() -> Self {
        let create = || {
            let port = server();
            let name = format!("test_{:016x}", fastrand::u64(..));
            let _ = psql(port, ANY_DATABASE, &format!("CREATE DATABASE {name}"));
            Self { port, name }
        };
        tokio::task::spawn_blocking(create)
            .await
            .expect("it starts")
    }

    /// As clients name it.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port, &self.name)
    }

    /// Where its server listens, on the loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements as the superuser and answers the rows, a line each.
    ///
    /// # Panics
    /// If it cannot be reached, or refuses.
    #[must_use]
    pub fn sql(&self, sql: &str) -> String {
        psql(self.port, &self.name, sql)
    }

    /// Closes all connections to it but those of [`Self::sql`], from its side.
    ///
    /// # Panics
    /// If it cannot be reached.
    pub fn cut_connections(&self) {
        let _ = self.sql(&format!("{CUT} AND datname = '{}'", self.name));
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        // Whatever is wrong with it goes with the server, and a panic in a drop would hide the
        // test's own.
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let mut command = super::tool("psql");
        command.args(["-X", "-q", "-c", &drop, &url(self.port, ANY_DATABASE)]);
        let _ = quiet(&mut command).status();
    }
}

/// The process whose end is the end of this run, and the name of the run.
fn run() -> (u32, String) {
    match env::var("NEXTEST_RUN_ID") {
        // The runner started us.
        Ok(run) => (parent_id(), run),
        Err(_) => (std::process::id(), std::process::id().to_string()),
    }
}

/// The port of the server of this run.
fn server() -> u16 {
    let (watched, run) = run();
    let directory = env::temp_dir().join(format!("chat-postgres-{run}"));
    claim(&directory);
    let lock = File::create(directory.join("lock")).expect("a file can be made");
    lock.lock().expect("a file can be locked");
    let port_file = directory.join("port");
    let started = fs::read_to_string(&port_file).ok();
    if let Some(port) = started.and_then(|port| port.parse().ok())
        && is_ready(port)
    {
        return port;
    }
    let port = start(&directory, watched);
    fs::write(port_file, port.to_string()).expect("a file can be written");
    port
}

/// Makes the directory of the run, or checks that it is ours.
fn claim(directory: &Path) {
    // The server's user must be able to pass through.
    match fs::DirBuilder::new().mode(0o711).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            panic!("{}: {error}", directory.display())
        }
        _ => {}
    }
    let owner = fs::symlink_metadata(directory).expect("it is there").uid();
    assert_eq!(owner, rustix::process::geteuid().as_raw(), "it is ours");
}

fn start(directory: &Path, watched: u32) -> u16 {
    let home: PathBuf = directory.join(format!("server-{:016x}", fastrand::u64(..)));
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&home)
        .expect("a directory can be made");
    give_away(&home);
    init(&home.join("data"));
    for _ in 0..STARTS_MAX {
        let port = free_port();
        let child = serve(&home, port, &PostgresOptions::default());
        if let Some(child) = came_up(child, port) {
            watch(watched, child.id(), directory);
            return port;
        }
    }
    let log = fs::read_to_string(home.join("log"));
    panic!("PostgreSQL does not start: {log:?}");
}

/// Ends the server and removes its directory once the run is over.
#[expect(clippy::zombie_processes, reason = "the watcher outlives this process")]
fn watch(watched: u32, server: u32, directory: &Path) {
    let script = r#"
        while kill -0 "$0" 2>/dev/null; do sleep 1; done
        kill -QUIT "$1" 2>/dev/null
        while kill -0 "$1" 2>/dev/null; do sleep 0.1; done
        rm -rf "$2"
    "#;
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script, &watched.to_string(), &server.to_string()])
        .arg(directory)
        .current_dir("/")
        // What ends a test must not end the watcher.
        .process_group(0);
    quiet(&mut command).spawn().expect("there is a shell");
}
