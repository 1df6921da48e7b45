//! A headless Chromium of its own for each test, and its protocol: commands and answers over one
//! WebSocket, events in between.
//!
//! No driver program and no client library: what these tests need of the DevTools protocol is one
//! kind of frame. Events are kept, because they tell what went wrong in a page.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// What has not happened by then will not happen, even on a machine that is busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// The name differs from system to system.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Loopback pages only: nothing of the browser's own may ask the network. Tabs that are not in
/// front are tabs of other people here, and must not be slowed down.
const FLAGS: [&str; 14] = [
    "--headless",
    "--window-size=1280,800",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--remote-debugging-port=0",
];

/// A browser. Killed when dropped, with all of its processes.
pub(crate) struct Chromium {
    child: Child,
    socket: WebSocketStream<TcpStream>,
    next_id: u64,
    events: Vec<Value>,
    _profile: TempDir,
}

impl Chromium {
    /// Starts one with an empty profile.
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory");
        let mut child = spawn(&profile);
        let url = devtools_url(&mut child);
        let url = timeout(DEADLINE, url).await.expect("Chromium starts");
        let url = url.expect("Chromium says where its DevTools are");
        let address = url.trim_start_matches("ws://").split('/').next();
        let stream = TcpStream::connect(address.expect("an address"))
            .await
            .expect("DevTools listen");
        // A screenshot is one large frame.
        let config = WebSocketConfig::default()
            .max_frame_size(None)
            .max_message_size(None);
        let connected = client_async_with_config(&url, stream, Some(config)).await;
        let (socket, _) = connected.expect("DevTools speak WebSocket");
        Self {
            child,
            socket,
            next_id: 1,
            events: Vec::new(),
            _profile: profile,
        }
    }

    /// One command of the protocol and its result. Without a session it is about the browser.
    pub(crate) async fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let mut command = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let sent = self.socket.send(Message::text(command.to_string())).await;
        sent.expect("Chromium listens");
        let answer = self.until(|frame| frame["id"] == id);
        let answer = timeout(DEADLINE, answer).await;
        let mut answer = answer.unwrap_or_else(|_| {
            panic!("no answer within {DEADLINE:?} to {method} {params}");
        });
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Waits until an event has come so many times, past or future.
    pub(crate) async fn event(&mut self, session: &str, method: &str, times: usize) {
        let fits = |frame: &Value| frame["sessionId"] == session && frame["method"] == method;
        while self.events.iter().filter(|frame| fits(frame)).count() < times {
            let event = timeout(DEADLINE, self.until(fits)).await;
            event.unwrap_or_else(|_| panic!("no {method} within {DEADLINE:?}"));
        }
    }

    /// The events of a session so far.
    pub(crate) fn events_of(&self, session: &str) -> impl Iterator<Item = &Value> {
        let events = self.events.iter();
        events.filter(move |event| event["sessionId"] == session)
    }

    async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.socket.next().await.expect("Chromium lives");
            let Message::Text(text) = frame.expect("Chromium lives") else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).expect("DevTools speak JSON");
            let found = fits(&frame);
            if frame["method"].is_string() {
                self.events.push(frame.clone());
            }
            if found {
                return frame;
            }
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Its helpers are in its group. The child was not waited for, so the id is still its own.
        let group = Pid::from_child(&self.child);
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
        drop(self.child.wait());
    }
}

fn spawn(profile: &TempDir) -> Child {
    for name in NAMES {
        let mut command = Command::new(name);
        command
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            // It leaves its sockets behind when it is killed.
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Ok(child) = command.spawn() {
            return child;
        }
    }
    panic!(
        "no Chromium on this machine, and these tests need one. On Debian: \
         apt-get install --yes chromium"
    );
}

/// The line in which it says where its DevTools are; the rest is read so that it never blocks.
fn devtools_url(child: &mut Child) -> oneshot::Receiver<String> {
    let (found, url) = oneshot::channel();
    let stderr = child.stderr.take().expect("stderr is piped");
    thread::spawn(move || {
        let mut found = Some(found);
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let url = line.strip_prefix("DevTools listening on ");
            if let Some((url, found)) = url.and_then(|url| Some((url, found.take()?))) {
                // The test may have given up.
                drop(found.send(url.to_owned()));
            }
        }
    });
    url
}
