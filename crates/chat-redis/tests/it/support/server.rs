//! A redis-server of our own: started on a free port, killed on drop.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::PATIENCE;

pub struct Server {
    child: Child,
    port: u16,
    dir: TempDir,
    options: Vec<String>,
}

impl Server {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With options such as `["--appendonly", "yes"]`.
    pub fn with(options: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let dir = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let child = spawn(port, &dir, &options);
        let server = Self {
            child,
            port,
            dir,
            options,
        };
        server.wait_until_ready();
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it, as a crash would.
    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was, with its data if it kept any.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, &self.dir, &self.options);
        self.wait_until_ready();
    }

    pub fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    pub fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// Runs one command over a connection of its own.
    pub fn run(&self, words: &[&str]) -> redis_cli::Answer {
        redis_cli::run(self.port, words).expect("the server answers")
    }

    /// All keys, sorted.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = self.run(&["KEYS", "*"]).lines();
        keys.sort();
        keys
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn wait_until_ready(&self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let answer = redis_cli::run(self.port, &["PING"]);
            if answer.is_some_and(|answer| {
                ["PONG", "NOAUTH"]
                    .iter()
                    .any(|word| answer.text().starts_with(word))
            }) {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "redis-server did not come up"
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, dir: &TempDir, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--dir"])
        .arg(dir.path())
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is missing: install it with `apt-get install redis-server`")
}

/// Just enough of a client to ask a server something, apart from the driver that is tested.
pub mod redis_cli {
    use std::process::Command;

    pub struct Answer(String);

    impl Answer {
        pub fn text(&self) -> &str {
            self.0.trim_end()
        }

        pub fn lines(&self) -> Vec<String> {
            let lines = self.0.lines().filter(|line| !line.is_empty());
            lines.map(str::to_owned).collect()
        }

        pub fn number(&self) -> u64 {
            self.text().parse().expect("a number")
        }
    }

    pub fn run(port: u16, words: &[&str]) -> Option<Answer> {
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .args(words)
            .output()
            .expect("redis-cli is missing: install it with `apt-get install redis-tools`");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(Answer(text))
    }
}
