//! What is said of users, and to whom, step by step.

use super::*;

fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

fn device(name: &str) -> Option<DeviceId> {
    Some(DeviceId::new(name).unwrap())
}

/// Lets a store that knows no other node answer all that is said. Answers what was said, as
/// statuses, and what became news.
fn run(people: &mut People) -> Vec<(Vec<Status>, bool)> {
    let mut steps = Vec::new();
    loop {
        let batch = people.next_batch(64);
        if batch.is_empty() {
            return steps;
        }
        for said in batch {
            let after = Standing::of([(1, said.devices.as_slice())]);
            let before = people.known(&said.user).cloned().unwrap_or_default().0;
            let statuses = said.devices.iter().map(|device| device.status).collect();
            let shift = Shift {
                before,
                after,
                elsewhere: false,
                at_ms: 1,
            };
            steps.push((statuses, people.done(said, shift).is_some()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn devices_are_merged_and_only_what_differs_is_said() {
    let (mut people, now) = (People::default(), Instant::now());
    let ids = [(); 3].map(|()| ConnectionId::random());
    assert_eq!(
        people.connect(&alice(), ids[0], device("phone")),
        Touch::Work
    );
    assert_eq!(run(&mut people), [(vec![Status::Online], false)]);
    // A second tab of the same device is the same device.
    let _ = people.connect(&alice(), ids[1], device("phone"));
    assert_eq!(run(&mut people), []);
    let _ = people.connect(&alice(), ids[2], None);
    assert_eq!(
        run(&mut people),
        [(vec![Status::Online, Status::Online], false)]
    );
    let _ = people.set(&alice(), ids[2], Status::Away, None, now);
    assert_eq!(
        run(&mut people),
        [(vec![Status::Online, Status::Away], false)]
    );
    let here = people.here(&alice());
    assert_eq!((here.status, here.devices.len()), (Status::Online, 1));
}

#[tokio::test(start_paused = true)]
async fn changes_of_status_are_paced_and_the_latest_wins() {
    let (mut people, now) = (People::default(), Instant::now());
    let id = ConnectionId::random();
    let _ = people.connect(&alice(), id, None);
    run(&mut people);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        people.set(&alice(), id, Status::Busy, None, now),
        Touch::Work
    );
    assert_eq!(
        people.set(&alice(), id, Status::Busy, None, now),
        Touch::Nothing
    );
    assert_eq!(run(&mut people), [(vec![Status::Busy], true)]);
    for (words, expected) in [
        ("one", Touch::Later(PACE)),
        ("two", Touch::Nothing),
        ("three", Touch::Nothing),
    ] {
        let touch = people.set(&alice(), id, Status::Away, text(words), now);
        assert_eq!(touch, expected, "one timer is enough");
    }
    assert_eq!(run(&mut people), []);
    assert_eq!(people.resume(&alice(), now + PACE), Touch::Work);
    assert_eq!(run(&mut people), [(vec![Status::Away], true)]);
    assert_eq!(people.here(&alice()).text, text("three"));
    let soon = now + PACE;
    assert!(matches!(
        people.set(&alice(), id, Status::Busy, None, soon),
        Touch::Later(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_reload_says_nothing_and_whoever_does_not_come_back_is_gone() {
    let mut people = People::default();
    let room = RoomId::new("general").unwrap();
    let (first, second) = (ConnectionId::random(), ConnectionId::random());
    let _ = people.connect(&alice(), first, device("laptop"));
    run(&mut people);
    let grace = people.lose(&alice(), first, vec![room.clone()]).unwrap();
    assert_eq!(run(&mut people), []);
    let _ = people.connect(&alice(), second, device("laptop"));
    assert_eq!(people.end_grace(&alice(), grace), Touch::Nothing);
    assert_eq!(run(&mut people), []);
    let grace = people.lose(&alice(), second, vec![room.clone()]).unwrap();
    assert_eq!(people.end_grace(&alice(), grace), Touch::Work);
    let said = people.next_batch(9).remove(0);
    assert!(said.devices.is_empty());
    let shift = Shift {
        before: people.known(&alice()).cloned().unwrap().0,
        after: Standing::default(),
        elsewhere: false,
        at_ms: 5,
    };
    let news = people.done(said, shift).unwrap();
    assert!(news.went);
    assert_eq!(news.rooms_left, [room]);
    assert_eq!(run(&mut people), []);
    assert!(people.people.is_empty(), "nothing is left of him");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_said_again_and_told_once() {
    let mut people = People::default();
    let id = ConnectionId::random();
    let _ = people.connect(&alice(), id, None);
    run(&mut people);
    let grace = people.lose(&alice(), id, Vec::new()).unwrap();
    let _ = people.end_grace(&alice(), grace);
    let batch = people.next_batch(9);
    people.failed(&batch);
    // The store had taken the step, and has nobody any more.
    let said = people.next_batch(9).remove(0);
    let shift = Shift {
        before: Standing::default(),
        after: Standing::default(),
        elsewhere: false,
        at_ms: 5,
    };
    assert!(people.done(said, shift.clone()).unwrap().went);
    assert_eq!(people.next_batch(9), []);
    people.correct(&[alice()]);
    let ghost = people.next_batch(9).remove(0);
    assert!(ghost.devices.is_empty(), "counted out");
    assert!(people.done(ghost, shift).unwrap().went);
    assert_eq!(people.next_batch(9), []);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_forgot_everybody_is_told_again_and_nobody_else_is() {
    let mut people = People::default();
    let _ = people.connect(&alice(), ConnectionId::random(), None);
    run(&mut people);
    people.say_all_again();
    let said = people.next_batch(9).remove(0);
    let shift = Shift {
        before: Standing::default(),
        after: Standing::of([(1, said.devices.as_slice())]),
        elsewhere: false,
        at_ms: 5,
    };
    assert!(shift.came());
    assert_eq!(people.done(said, shift), None, "no news to anybody");
}

#[tokio::test(start_paused = true)]
async fn graces_of_ever_new_devices_are_bounded() {
    let mut people = People::default();
    for number in 0..100 {
        let id = ConnectionId::random();
        let _ = people.connect(&alice(), id, device(&format!("d{number}")));
        assert!(people.lose(&alice(), id, Vec::new()).is_some());
    }
    assert_eq!(people.people[&alice()].lines.len(), DEVICES_MAX);
    assert_eq!(people.here(&alice()).devices.len(), DEVICES_MAX);
}
