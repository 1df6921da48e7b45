//! The real server as a child process: started on a free port, asked, signalled, ended.
//!
//! Ends only what it started, and ends it for certain: a test that fails leaves nothing behind.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::http::{HttpAnswer, ask};
use crate::output::Output;

/// A server that is not there by then will not come: a start takes some 20 ms, and this machine
/// may be busy with other tests.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Likewise for a process that is to end by itself; longer than any drain of a test.
const END_WITHIN: Duration = Duration::from_secs(60);

/// Limits that tests do not mean to meet: they are a few users, on one address, in a hurry. A test that
/// does mean one says so in its own arguments, which come later.
const WITHOUT_RATES: [&str; 7] = [
    "connections_per_user=0",
    "connections_per_ip=0",
    "handshakes_per_ip=0",
    "commands_per_second=0",
    "messages_per_user=0",
    "messages_per_room=0",
    "new_rooms_per_user=0",
];

/// A running `chat-server`. Killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    output: Output,
    address: SocketAddr,
}

/// How a server ended, and what it had said.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// Both outputs, line by line in the order in which they came.
    pub output: String,
}

impl ServerProcess {
    /// Starts a server and waits until it listens: on a free port of 127.0.0.1 unless the
    /// arguments say where.
    ///
    /// Nothing of the environment configures it.
    ///
    /// # Panics
    /// If it does not get there; with what it said.
    #[must_use]
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// As [`Self::start`], with environment variables.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let lifted = WITHOUT_RATES.map(|limit| ["--limit", limit]).concat();
        let mut command = command(&[&lifted[..], args].concat(), variables);
        if !args.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        // A test that means a store says which; otherwise nothing is to be left behind.
        if !args.contains(&"--store") && !args.contains(&"--redis") {
            command.args(["--store", "memory"]);
        }
        Self::wait(&mut command, address_in)
    }

    /// Starts a server that does not get to listen, and waits until it has printed a line that
    /// contains `text`.
    ///
    /// # Panics
    /// If it does not; with what it said.
    #[must_use]
    pub fn start_held_up(address: SocketAddr, args: &[&str], text: &str) -> Self {
        let mut command = command(args, &[]);
        command.args(["--listen", &address.to_string()]);
        Self::wait(&mut command, |line| line.contains(text).then_some(address))
    }

    fn wait(command: &mut Command, ready: impl Fn(&str) -> Option<SocketAddr>) -> Self {
        let (mut child, output) = spawn(command);
        let Some(address) = output.wait_for(READY_WITHIN, ready) else {
            // A child that was started and is given up must not outlive this.
            drop(child.kill().and_then(|()| child.wait()));
            panic!("the server did not start; it said:\n{}", output.text());
        };
        Self {
            child,
            output,
            address,
        }
    }

    /// Runs the program to its end, for commands and refusals. Nothing is added to the arguments.
    ///
    /// # Panics
    /// If it does not end; with what it said.
    #[must_use]
    pub fn run(args: &[&str], variables: &[(&str, &str)]) -> Finished {
        let (mut child, output) = spawn(&mut command(args, variables));
        let ended = output.wait_for_end(END_WITHIN);
        if !ended {
            // As above.
            drop(child.kill());
        }
        let status = child.wait().expect("a child can be waited for");
        assert!(
            ended,
            "the program did not end; it said:\n{}",
            output.text()
        );
        Finished {
            status,
            output: output.text(),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS:PORT`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `ws://ADDRESS:PORT/ws`.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Waits until it has printed a line that contains `text`.
    ///
    /// # Panics
    /// If it does not within a generous time, or ends before.
    pub fn wait_for_line(&self, text: &str) {
        let found = self
            .output
            .wait_for(READY_WITHIN, |line| line.contains(text).then_some(()));
        let said = self.output.text();
        assert!(found.is_some(), "no line with {text:?}; it said:\n{said}");
    }

    /// Asks for a path with GET.
    ///
    /// # Panics
    /// If there is no answer.
    #[must_use]
    pub fn get(&self, path: &str) -> HttpAnswer {
        self.ask("GET", path)
    }

    /// Asks for a path with any method, without a body.
    ///
    /// # Panics
    /// If there is no answer.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str) -> HttpAnswer {
        let answer = ask(self.address, method, path);
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Ends it without a word, as a crash or a power failure would (SIGKILL), and waits for that.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.end();
    }

    /// Asks it to go (SIGTERM). It needs a while; [`Self::wait_exit`] waits for it.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Presses Ctrl-C (SIGINT).
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Stops it in its tracks (SIGSTOP): its sockets stay open and nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Self::pause`] (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// If it does not; with what it said.
    #[must_use]
    pub fn wait_exit(mut self) -> Finished {
        let ended = self.output.wait_for_end(END_WITHIN);
        let output = self.output.text();
        assert!(ended, "the server did not end; it said:\n{output}");
        Finished {
            status: self.end(),
            output,
        }
    }

    /// Nobody has waited for the child yet, so its id cannot be another process's.
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child can be signalled");
    }

    fn end(&mut self) -> ExitStatus {
        self.child.wait().expect("a child can be waited for")
    }
}

impl Drop for ServerProcess {
    /// Safe after [`Self::kill`] and [`Self::wait_exit`] too: a child that was waited for is not
    /// signalled again.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The server's program: `CHAT_SERVER_BIN`, or the one that was built beside this test. It is built
/// only if it is missing, so build it first after a change (`scripts/test` does).
///
/// # Panics
/// If it is not there and cannot be built.
#[must_use]
pub fn server_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(named) = env::var_os("CHAT_SERVER_BIN") {
            return named.into();
        }
        let test = env::current_exe().expect("a test knows its own program");
        // target/PROFILE/deps/TEST
        let directory = test
            .ancestors()
            .nth(2)
            .expect("a test is in target/PROFILE/deps");
        let binary = directory.join(format!("chat-server{}", env::consts::EXE_SUFFIX));
        if !binary.exists() {
            build(directory);
        }
        assert!(binary.exists(), "{} is missing", binary.display());
        binary
    })
}

/// Several test processes may get here at once: cargo itself lets one build at a time.
fn build(directory: &Path) {
    let name = directory.file_name().and_then(|name| name.to_str());
    let profile = match name {
        None | Some("debug") => "dev",
        Some(name) => name,
    };
    let target = directory
        .parent()
        .expect("a profile is in a target directory");
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "-p",
            "chat-server",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo can be started");
    assert!(built.success(), "chat-server does not build");
}

fn command(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(server_binary());
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CHAT_") || ["REDIS_URL", "RUST_LOG"].contains(&name.as_ref()) {
            command.env_remove(name.as_ref());
        }
    }
    command.args(args).envs(variables.iter().copied());
    command
}

fn spawn(command: &mut Command) -> (Child, Output) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server can be started");
    let output = Output::default();
    output.collect(child.stdout.take().expect("stdout is piped"));
    output.collect(child.stderr.take().expect("stderr is piped"));
    (child, output)
}

/// The address in the line that says where the page is.
fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix("Chat is open at ")?;
    let (_, address) = rest.split_once("://")?;
    address.strip_suffix('/')?.parse().ok()
}
