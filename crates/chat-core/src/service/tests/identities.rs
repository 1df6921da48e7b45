//! What a forbidden room costs.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::authenticator::MockAuthenticator;
use crate::identity::{Identity, RoomPatterns};

/// A user whose identity permits these rooms, and how often the directory was asked.
fn permitted(rooms: &'static str, access: Option<Access>) -> (ChatService, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut directory = MockDirectory::new();
    directory.expect_reach().return_const(Reach::Process);
    let counted = Arc::clone(&asked);
    directory.expect_access().returning(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(access.clone())
    });
    let mut authenticator = MockAuthenticator::new();
    authenticator.expect_is_development().return_const(false);
    authenticator.expect_authenticate().returning(move |_| {
        let mut identity = Identity::of(user("alice"));
        identity.rooms = Some(RoomPatterns::new([rooms]).unwrap());
        Ok(identity)
    });
    let (_, events) = event_queue(10);
    let events = Mutex::new(Some(events));
    let mut pubsub = MockPubSub::new();
    pubsub.expect_reach().return_const(Reach::Process);
    pubsub.expect_subscribe().returning(|_| Ok(()));
    pubsub
        .expect_events()
        .returning(move || events.lock().take());
    let presence = mock_presence(&Counts::default());
    let service = ChatService::builder(Arc::new(pubsub), Arc::new(presence))
        .room_log(Arc::new(mock_log(&Log::default())))
        .directory(Arc::new(directory))
        .authenticator(Arc::new(authenticator))
        .build()
        .unwrap();
    (service, asked)
}

fn of_others(kind: RoomKind) -> Option<Access> {
    let room = Room {
        id: room(),
        kind,
        name: None,
        topic: None,
        slow_mode_s: 0,
        created_at_ms: 1,
        version: 1,
        member_count: 1,
    };
    Some(Access { room, role: None })
}

/// An answer that comes sooner, or costs less, says which of them it was; also at the second time.
#[tokio::test(start_paused = true)]
async fn a_forbidden_room_and_one_of_others_are_looked_for_like_one_that_is_not_there() {
    let (forbidden, permitted_one) = ("other", "*");
    for (rooms, access) in [
        (forbidden, None),
        (forbidden, of_others(RoomKind::Open)),
        (forbidden, of_others(RoomKind::Private)),
        (permitted_one, None),
        (permitted_one, of_others(RoomKind::Private)),
    ] {
        let (service, asked) = permitted(rooms, access);
        let session = service.connect(Credentials::default()).await.unwrap();
        let mut client = Client { session, id: 1 };
        for times in 1..=2 {
            client.send("hello", &format!("k{times}")).await;
            let Outgoing::Answer { result, .. } = client.next().await else {
                panic!("no answer");
            };
            assert_eq!(result.unwrap_err(), ServiceError::NotFound("room"));
            assert_eq!(asked.load(Ordering::Relaxed), times, "{rooms}");
        }
    }
}
