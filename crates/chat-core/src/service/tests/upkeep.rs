//! What goes on without anybody asking for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::event::Part;

/// A log that counts how often it is opened.
fn counting_log(log: &Log, opens: &Arc<AtomicUsize>) -> MockRoomLog {
    let mut mock = MockRoomLog::new();
    mock.expect_reach().return_const(Reach::Process);
    mock.expect_announces().return_const(false);
    let (state, count) = (Arc::clone(log), Arc::clone(opens));
    mock.expect_open().returning(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(state.lock().head())
    });
    let state = Arc::clone(log);
    mock.expect_heads()
        .returning(move |rooms| Ok(rooms.iter().map(|_| Some(state.lock().head())).collect()));
    mock
}

#[tokio::test(start_paused = true)]
async fn the_log_of_a_room_where_people_only_listen_is_renewed() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let opens = Arc::<AtomicUsize>::default();
    let log_mock = counting_log(&log, &opens);
    let node = Node::start(&wire, log_mock, mock_presence(&counts), Limits::default());
    let mut alice = node.connect("alice").await;
    alice
        .command(Command::Join {
            room: room(),
            position: None,
            history: Some(0),
        })
        .await;
    settle().await;
    let before = opens.load(Ordering::Relaxed);
    tokio::time::sleep(node.service.limits().log_ttl).await;
    assert!(opens.load(Ordering::Relaxed) >= before + 3);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_nobody_holds_any_more_ends() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let opens = Arc::<AtomicUsize>::default();
    let log_mock = counting_log(&log, &opens);
    let Node {
        service, broker, ..
    } = Node::start(&wire, log_mock, mock_presence(&counts), Limits::default());
    assert!(!broker.is_closed());
    drop(service);
    settle().await;
    assert!(broker.is_closed(), "its dispatcher listens no longer");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_known_to_be_away_is_not_waited_for() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let (log, presence) = (mock_log(&log), mock_presence(&counts));
    let node = Node::start(&wire, log, presence, Limits::default());
    let inner = &node.service.inner;
    let begun = tokio::time::Instant::now();
    let slow = || tokio::time::sleep(Duration::from_secs(5));
    assert_eq!(inner.ask_soon(Part::Presence, slow()).await, Some(()));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    inner.set_part(Part::Presence, true);
    assert_eq!(inner.ask_soon(Part::Presence, slow()).await, None);
    assert!(begun.elapsed() < Duration::from_secs(6));
    // It is asked all the same: it may be back.
    let answer = inner.ask_soon(Part::Presence, async { 7 });
    assert_eq!(answer.await, Some(7));
    assert_eq!(inner.ask_soon(Part::Store, slow()).await, Some(()));
}
