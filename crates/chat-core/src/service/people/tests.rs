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

fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

/// What the store answers while others have him as this.
fn answered(people: &mut People, said: Said, elsewhere: &[Device], at_ms: Millis) -> Option<News> {
    let before = people.known(&said.user).cloned().unwrap_or_default().0;
    let shift = Shift {
        before,
        after: Standing::of([(1, said.devices.as_slice()), (1, elsewhere)]),
        elsewhere: !elsewhere.is_empty(),
        at_ms,
    };
    people.done(said, shift)
}

/// A laptop in one room and a phone in another, both on the same Wi-Fi.
fn two_devices(people: &mut People) -> (u64, u64) {
    let ids = [(); 2].map(|()| ConnectionId::random());
    let _ = people.connect(&alice(), ids[0], device("laptop"));
    let _ = people.connect(&alice(), ids[1], device("phone"));
    run(people);
    let laptop = people.lose(&alice(), ids[0], vec![room("one"), room("both")]);
    let phone = people.lose(&alice(), ids[1], vec![room("two"), room("both")]);
    (laptop.unwrap(), phone.unwrap())
}

#[tokio::test(start_paused = true)]
async fn whoever_loses_two_devices_together_is_told_to_be_gone_in_the_rooms_of_both() {
    for asks_between in [false, true] {
        let mut people = People::default();
        let (laptop, phone) = two_devices(&mut people);
        let _ = people.end_grace(&alice(), laptop);
        let first = asks_between.then(|| people.next_batch(9).remove(0));
        let _ = people.end_grace(&alice(), phone);
        if let Some(first) = first {
            assert_eq!(
                answered(&mut people, first, &[], 2),
                None,
                "the phone was there"
            );
        }
        let last = people.next_batch(9).remove(0);
        let news = answered(&mut people, last, &[], 3).unwrap();
        assert!(news.went);
        let rooms = ["one", "both", "two"].map(room);
        assert_eq!(news.rooms_left, rooms, "asked between: {asks_between}");
    }
}

#[tokio::test(start_paused = true)]
async fn rooms_that_were_left_while_somebody_stayed_are_not_told_when_he_goes() {
    let mut people = People::default();
    let (laptop, _) = two_devices(&mut people);
    let _ = people.end_grace(&alice(), laptop);
    let (back, tablet) = (ConnectionId::random(), ConnectionId::random());
    let _ = people.connect(&alice(), back, device("phone"));
    let _ = people.connect(&alice(), tablet, device("tablet"));
    run(&mut people);
    let grace = people.lose(&alice(), tablet, vec![room("three")]).unwrap();
    let _ = people.end_grace(&alice(), grace);
    run(&mut people);
    let grace = people.lose(&alice(), back, vec![room("two")]).unwrap();
    let _ = people.end_grace(&alice(), grace);
    let last = people.next_batch(9).remove(0);
    let news = answered(&mut people, last, &[], 3).unwrap();
    assert_eq!(news.rooms_left, [room("two")]);
}

#[tokio::test(start_paused = true)]
async fn the_rooms_of_all_tabs_of_a_device_are_told_that_it_is_gone() {
    let mut people = People::default();
    let tabs = [(); 2].map(|()| ConnectionId::random());
    for tab in tabs {
        let _ = people.connect(&alice(), tab, device("laptop"));
    }
    run(&mut people);
    people.lose(&alice(), tabs[0], vec![room("one")]).unwrap();
    let many = (0..ROOMS_TOLD_MAX).map(|n| room(&format!("r{n}")));
    let grace = people.lose(&alice(), tabs[1], many.skip(1).collect());
    let _ = people.end_grace(&alice(), grace.unwrap());
    let last = people.next_batch(9).remove(0);
    let news = answered(&mut people, last, &[], 3).unwrap();
    assert_eq!(news.rooms_left.len(), ROOMS_TOLD_MAX);
    assert!(news.rooms_left.contains(&room("one")));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_another_node_has_overtaken_is_no_news() {
    let mut people = People::default();
    let id = ConnectionId::random();
    let _ = people.connect(&alice(), id, None);
    run(&mut people);
    let text = |text: &str| Some(text.to_owned());
    let _ = people.set(&alice(), id, Status::Busy, text("older"), Instant::now());
    let said = people.next_batch(9).remove(0);
    let newer = Seen {
        user: alice(),
        status: Status::Busy,
        text: text("newer"),
        last_seen_at_ms: None,
        at_ms: 8,
    };
    assert!(people.hear(&newer));
    assert_eq!(answered(&mut people, said, &[], 7), None);
    let known = |people: &People| people.known(&alice()).cloned().unwrap();
    assert_eq!(
        (known(&people).0.text, known(&people).1),
        (text("newer"), 8)
    );
    // Of two answers to this node alone the later one counts, wherever the store's clock went.
    let soon = Instant::now() + PACE;
    let _ = people.set(&alice(), id, Status::Busy, text("last"), soon);
    let said = people.next_batch(9).remove(0);
    assert!(answered(&mut people, said, &[], 6).is_some());
    assert_eq!(known(&people).0.text, text("last"));
}

/// Somebody comes and goes, and the store answers nothing.
fn pass_by(people: &mut People, name: &str) {
    let (user, id) = (UserId::new(name).unwrap(), ConnectionId::random());
    let _ = people.connect(&user, id, None);
    let batch = people.next_batch(usize::MAX);
    let grace = people.lose(&user, id, Vec::new()).unwrap();
    let _ = people.end_grace(&user, grace);
    people.failed(&batch);
}

#[tokio::test(start_paused = true)]
async fn whoever_came_and_went_during_an_outage_ends_with_the_lease() {
    let mut people = People::default();
    let (here, gone) = (ConnectionId::random(), ConnectionId::random());
    let bob = UserId::new("bob").unwrap();
    let _ = people.connect(&alice(), here, None);
    let _ = people.connect(&bob, gone, None);
    run(&mut people);
    // Others know of him: that he is gone is news whenever it is said.
    let grace = people.lose(&bob, gone, vec![room("one")]).unwrap();
    let _ = people.end_grace(&bob, grace);
    (0..5).for_each(|n| pass_by(&mut people, &format!("u{n}")));
    assert_eq!(people.people.len(), 7);
    let under_way = people.next_batch(9);
    assert_eq!(people.forget_unheard(), 0, "the store may be told just now");
    people.failed(&under_way);
    assert_eq!(people.forget_unheard(), 5);
    people.say_all_again();
    let again = people.next_batch(9);
    assert_eq!(again.len(), 2, "each once");
    let news = again
        .into_iter()
        .filter_map(|said| answered(&mut people, said, &[], 5));
    let news: Vec<_> = news.map(|news| (news.user, news.went)).collect();
    assert_eq!(news, [(bob, true)]);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_forgotten_and_comes_back_is_said_once() {
    let mut people = People::default();
    pass_by(&mut people, "alice");
    assert_eq!(people.forget_unheard(), 1);
    let _ = people.connect(&alice(), ConnectionId::random(), None);
    assert_eq!(people.next_batch(9).len(), 1);
    assert_eq!(people.next_batch(9), []);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_comes_and_goes_while_the_store_is_away_is_bounded() {
    let mut people = People::default();
    let _ = people.connect(&alice(), ConnectionId::random(), None);
    for n in 0..OWED_MAX {
        let (user, id) = (
            UserId::new(format!("u{n}")).unwrap(),
            ConnectionId::random(),
        );
        let _ = people.connect(&user, id, None);
        let grace = people.lose(&user, id, Vec::new()).unwrap();
        let _ = people.end_grace(&user, grace);
    }
    let batch = people.next_batch(9);
    assert_eq!(people.failed(&batch), OWED_MAX);
    assert_eq!(people.people.len(), 1, "alice is here");
    assert_eq!(people.next_batch(9).len(), 1);
}
