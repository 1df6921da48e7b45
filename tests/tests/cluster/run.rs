//! A scenario: everybody chats, something fails, it is healed, and what everybody saw is compared
//! with the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chat_core::{Entry, Head, InstanceId, RoomLog};
use chat_redis::{RedisConfig, RedisPubSub, RedisRoomLog};
use chat_testkit::history::Report;
use chat_testkit::servers::{RedisOptions, RedisServer};
use chat_testkit::{eventually, make, within};
use tokio::task::JoinHandle;

use crate::client::{Client, said};
use crate::cluster::{NODES, Node, Settings};
use crate::leftovers;
use crate::notes::{CLIENTS, Notes, ROOMS, STAYING, Seen};

/// Longer than anything takes that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long what fails stays away.
pub(crate) const OUTAGE: Duration = Duration::from_millis(1_200);
/// Messages after which something surely goes on.
const SOME: u64 = 4;

/// What a scenario can see and touch.
pub(crate) struct Run {
    pub(crate) server: RedisServer,
    pub(crate) nodes: Vec<Node>,
    pub(crate) notes: Arc<Notes>,
    clients: Vec<JoinHandle<()>>,
}

/// Runs a scenario over a Redis that keeps nothing when it is killed.
pub(crate) fn scenario(settings: Settings, during: impl AsyncFnOnce(&mut Run)) -> Report {
    scenario_over(RedisOptions::default(), settings, during)
}

pub(crate) fn scenario_over(
    options: RedisOptions,
    settings: Settings,
    during: impl AsyncFnOnce(&mut Run),
) -> Report {
    let mut report = None;
    chat_testkit::run(async {
        let mut run = Run::start(options, settings).await;
        run.everybody_hears_everybody().await;
        during(&mut run).await;
        run.everybody_hears_everybody().await;
        report = Some(run.end().await);
    });
    report.unwrap()
}

/// The node of a client.
pub(crate) fn node_of(client: usize) -> usize {
    client % NODES
}

impl Run {
    async fn start(options: RedisOptions, settings: Settings) -> Self {
        let server = RedisServer::start_with(options).await;
        let mut nodes = Vec::new();
        for number in 0..NODES {
            nodes.push(Node::start(&server, &settings, number).await);
        }
        let notes = Arc::new(Notes::default());
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let services = nodes.iter().map(|node: &Node| node.service.clone());
            let client = Client::connect(Arc::clone(&notes), number, services.collect()).await;
            clients.push(tokio::spawn(client.live()));
        }
        Self {
            server,
            nodes,
            notes,
            clients,
        }
    }

    /// Waits until something holds for what the clients have seen.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&[Seen]) -> bool) {
        let holds = || {
            let gone_wrong = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!gone_wrong, "a client has ended, waiting for: {what}");
            let holds = holds(&self.seen());
            async move { holds.then_some(()) }
        };
        let waited = tokio::time::timeout(PATIENCE, eventually(2 * PATIENCE, what, holds)).await;
        if waited.is_err() {
            panic!("not within {PATIENCE:?}: {what}; {:#?}", self.seen());
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        (0..CLIENTS).map(|client| self.notes.of(client)).collect()
    }

    /// Waits until people on one node have heard a few more messages of people on another.
    pub(crate) async fn hears(&self, from: usize, to: usize) {
        let before = self.seen();
        let what = format!("node {to} hears node {from}");
        self.until(&what, |now| {
            let listeners = (0..STAYING).filter(|client| node_of(*client) == to);
            listeners
                .into_iter()
                .all(|client| now[client].heard[from] >= before[client].heard[from] + SOME)
        })
        .await;
    }

    pub(crate) async fn everybody_hears_everybody(&self) {
        for from in 0..NODES {
            for to in 0..NODES {
                self.hears(from, to).await;
            }
        }
    }

    /// Waits until people on a node were acked a few more messages.
    pub(crate) async fn is_acked(&self, node: usize) {
        let before = self.seen();
        self.until(&format!("node {node} acks"), |now| {
            let senders = (0..STAYING).filter(|client| node_of(*client) == node);
            senders
                .into_iter()
                .all(|client| now[client].acked >= before[client].acked + SOME)
        })
        .await;
    }

    /// Waits until everybody on a node was told that a send has no known outcome.
    pub(crate) async fn is_refused(&self, node: usize) {
        let before = self.seen();
        self.until(&format!("node {node} is refused"), |now| {
            let senders = (0..STAYING).filter(|client| node_of(*client) == node);
            senders
                .into_iter()
                .all(|client| now[client].refused > before[client].refused)
        })
        .await;
    }

    /// Nobody says anything more, and everybody has heard all of it; or they chat again.
    pub(crate) async fn everybody_is_silent(&self, silent: bool) {
        if silent {
            self.hush().await;
            self.is_settled().await;
        } else {
            self.notes.calm.store(false, Ordering::SeqCst);
        }
    }

    /// Nobody says anything more, and everybody stays where he is.
    pub(crate) async fn hush(&self) {
        self.notes.calm.store(true, Ordering::SeqCst);
        self.until("all is acked and nobody is on his way", |seen| {
            seen.iter()
                .all(|seen| seen.unsent == 0 && seen.joined.iter().all(|joined| *joined))
        })
        .await;
    }

    /// Everybody was told so often that a room's log is gone.
    pub(crate) fn assert_resets(&self, room: usize, expected: u64) {
        let seen = self.seen();
        let resets: Vec<_> = seen[..STAYING]
            .iter()
            .map(|seen| seen.resets[room])
            .collect();
        assert_eq!(resets, [expected; STAYING], "{}", ROOMS[room]);
    }

    /// Harms the logs of some rooms: what was sent before may be lost, and everybody may be told so.
    pub(crate) async fn harm(&mut self, rooms: &[usize], harm: impl AsyncFnOnce(&mut Self)) {
        // Before, because the first may be told at once; and after, because of what is said
        // meanwhile.
        rooms.iter().for_each(|room| self.notes.harmed(*room));
        harm(self).await;
        rooms.iter().for_each(|room| self.notes.harmed(*room));
    }

    /// Where a room's log stands.
    pub(crate) async fn head(&self, room: usize) -> Head {
        let log = self.log().await;
        log.open(&make::room(ROOMS[room])).await.unwrap()
    }

    /// The log, past everything that may be harmed but the server.
    pub(crate) async fn log(&self) -> RedisRoomLog {
        let config = RedisConfig::new(&self.server.url()).unwrap();
        let pubsub = RedisPubSub::connect(config, InstanceId::random())
            .await
            .unwrap();
        RedisRoomLog::announcing_on(&pubsub)
    }

    /// Everything was healed: waits until everybody has got everything, looks at what they saw, lets
    /// them leave, and looks at what is left.
    async fn end(mut self) -> Report {
        self.everybody_is_silent(true).await;
        self.is_well().await;
        self.assert_nobody_flickered();
        self.notes.stop.cancel();
        for client in std::mem::take(&mut self.clients) {
            within(PATIENCE, "a client ends", client).await.unwrap();
        }
        for room in 0..ROOMS.len() {
            self.audit(room).await;
            self.notes.assert_in_order(room);
        }
        leftovers::assert_gone(&self).await;
        let report = std::mem::take(&mut *self.notes.checker.lock()).finish();
        assert!(report.is_clean(), "{report}");
        assert!(report.acked > 0 && report.observed > 0, "{report}");
        report
    }

    /// Everybody stands at the heads.
    async fn is_settled(&self) {
        let stands = |seen: &Seen, room: usize, head: &Head| {
            let head = head.position;
            seen.at[room].is_some_and(|at| (at.seq, at.id) == (head.seq, head.id))
        };
        for (room, name) in ROOMS.iter().enumerate() {
            let head = self.head(room).await;
            let what = format!("everybody stands at {head:?} in {name}");
            self.until(&what, |seen| {
                seen.iter().all(|seen| stands(seen, room, &head))
            })
            .await;
        }
    }

    /// No part of any node is away any more.
    async fn is_well(&self) {
        for node in &self.nodes {
            eventually(PATIENCE, "a node is well again", || {
                let well = node.service.health().degraded.is_empty();
                async move { well.then_some(()) }
            })
            .await;
        }
    }

    fn assert_nobody_flickered(&self) {
        for (client, seen) in self.seen().into_iter().enumerate() {
            assert!(seen.flickers.is_empty(), "{client}: {:?}", seen.flickers);
        }
    }

    /// Every message is in the log once, and where its ack says.
    async fn audit(&self, room: usize) {
        let entries = self.entries(room).await;
        let mut seqs = HashMap::new();
        for entry in &entries {
            let (message, seq) = (said(entry), entry.position.seq);
            let other = seqs.insert(message, (seq, entry.position.id));
            assert_eq!(other, None, "{message} is at {seq} too");
        }
        for ack in self.notes.acks(room) {
            let place = seqs.get(&ack.message);
            assert_eq!(place, Some(&(ack.seq, ack.entry)), "{ack:?}");
        }
        let times: Vec<_> = entries.iter().map(|entry| entry.at_ms).collect();
        assert!(times.is_sorted(), "time goes backwards: {times:?}");
    }

    /// All that a room's log has.
    pub(crate) async fn entries(&self, room: usize) -> Vec<Entry> {
        let log = self.log().await;
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let from = entries.last().map_or(0, |entry| entry.position.seq);
            let room = make::room(ROOMS[room]);
            let read = log.read_after(&room, from, 500).await.unwrap();
            if read.entries.is_empty() {
                return entries;
            }
            entries.extend(read.entries);
        }
    }
}
