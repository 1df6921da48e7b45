//! What a restored link makes necessary, and how much of it at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::room_log::ReadError;

/// How often each thing was asked for.
#[derive(Debug, Default)]
struct Asked {
    registered: AtomicUsize,
    occupants: AtomicUsize,
    memberships: AtomicUsize,
    heads: AtomicUsize,
    /// The log answers nothing.
    is_log_away: AtomicBool,
}

impl Asked {
    fn forget(&self) {
        for count in [
            &self.registered,
            &self.occupants,
            &self.memberships,
            &self.heads,
        ] {
            count.store(0, Ordering::Relaxed);
        }
    }

    fn log(self: &Arc<Self>) -> MockRoomLog {
        let (log, asked) = (Log::default(), Arc::clone(self));
        let mut mock = MockRoomLog::new();
        mock.expect_reach().return_const(Reach::Process);
        mock.expect_announces().return_const(false);
        let state = Arc::clone(&log);
        mock.expect_open()
            .returning(move |_| Ok(state.lock().head()));
        mock.expect_page().returning(|_, _, _| Ok(Page::default()));
        mock.expect_heads().returning(move |rooms| {
            asked.heads.fetch_add(1, Ordering::Relaxed);
            if asked.is_log_away.load(Ordering::Relaxed) {
                return Err(ReadError::Unavailable("away".to_owned()));
            }
            Ok(rooms.iter().map(|_| Some(log.lock().head())).collect())
        });
        mock
    }

    fn presence(self: &Arc<Self>) -> MockPresence {
        let mut mock = MockPresence::new();
        let asked = Arc::clone(self);
        mock.expect_registered().returning(move |_| {
            asked.registered.fetch_add(1, Ordering::Relaxed);
            Ok(vec![user("alice")])
        });
        let asked = Arc::clone(self);
        mock.expect_occupants().returning(move |_, _, _| {
            asked.occupants.fetch_add(1, Ordering::Relaxed);
            Ok(OccupantPage::default())
        });
        mock.expect_reach().return_const(Reach::Process);
        mock.expect_renew().returning(|| Ok(Lease::Held));
        mock.expect_sweep().returning(|| Ok(Swept::default()));
        mock.expect_keep().returning(|| Ok(Kept::default()));
        Stood::default().serve(&mut mock);
        mock.expect_join().returning(|_, _| {
            Ok(Change {
                edge: true,
                count: 1,
                at_ms: 1,
                announced: true,
            })
        });
        mock
    }

    fn directory(self: &Arc<Self>) -> MockDirectory {
        let (mut mock, asked) = (MockDirectory::new(), Arc::clone(self));
        mock.expect_memberships().returning(move |_, _| {
            asked.memberships.fetch_add(1, Ordering::Relaxed);
            Ok(Memberships::default())
        });
        let (comes, is_asked) = (mock_directory(), mock_directory());
        mock.expect_reach().return_const(Reach::Process);
        mock.expect_enter()
            .returning(move |room, user| now(comes.enter(room, user)));
        mock.expect_access()
            .returning(move |room, user| now(is_asked.access(room, user)));
        mock.expect_marker().returning(|_, _| Ok(None));
        mock.expect_markers().returning(|_, _| Ok(Vec::new()));
        mock.expect_membership_versions()
            .returning(|users| Ok(vec![0; users.len()]));
        mock
    }
}

/// What a mock answers, which never waits.
fn now<T>(answer: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(answer).unwrap()
}

async fn start(asked: &Arc<Asked>) -> (Node, Client) {
    let node = Node::start_with(
        &Wire::default(),
        asked.log(),
        asked.presence(),
        asked.directory(),
        Limits::default(),
    );
    let mut alice = node.connect("alice").await;
    alice.join(None).await;
    settle().await;
    asked.forget();
    (node, alice)
}

fn cut(node: &Node) {
    assert!(node.broker.send(PubSubEvent::Lost));
    assert!(node.broker.send(PubSubEvent::Restored));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_away_keeps_neither_presence_nor_memberships_from_being_looked_at() {
    let asked = Arc::<Asked>::default();
    let (node, _alice) = start(&asked).await;
    asked.is_log_away.store(true, Ordering::Relaxed);
    cut(&node);
    settle().await;
    assert!(asked.heads.load(Ordering::Relaxed) > 0);
    assert!(asked.registered.load(Ordering::Relaxed) > 0);
    assert_eq!(asked.memberships.load(Ordering::Relaxed), 1);
    tokio::time::sleep(Limits::default().node_ttl * 2).await;
    assert!(asked.occupants.load(Ordering::Relaxed) > 0);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_flaps_is_healed_by_one_task_of_each_kind() {
    let asked = Arc::<Asked>::default();
    let (node, _alice) = start(&asked).await;
    for _ in 0..30 {
        cut(&node);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let compared = asked.heads.load(Ordering::Relaxed);
    assert!(compared >= 30, "after each cut, at once: {compared}");
    tokio::time::sleep(Limits::default().node_ttl * 2).await;
    let read = asked.occupants.load(Ordering::Relaxed);
    assert_eq!(read, 1, "rosters once, when all have had time to come back");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_never_stays_does_not_keep_rosters_from_being_read() {
    let asked = Arc::<Asked>::default();
    let (node, _alice) = start(&asked).await;
    for _ in 0..5 {
        cut(&node);
        tokio::time::sleep(Limits::default().node_ttl.mul_f64(0.8)).await;
    }
    assert!(asked.occupants.load(Ordering::Relaxed) > 0);
}
