//! Who is told what of a room that he watches.

use futures_util::FutureExt;

use super::*;
use crate::identity::Identity;
use crate::ids::{Epoch, MessageId};
use crate::limits::Limits;
use crate::message::Text;
use crate::model::ModelLog;
use crate::outbox::Outgoing;
use crate::service::tally::Loaded;
use crate::service::unread::Life;

pub(super) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(super) fn connection(name: &str) -> Arc<Connection> {
    let identity = Identity::of(user(name));
    let connection = Arc::new(Connection::new(identity, &Limits::default()));
    connection.listen();
    connection
}

pub(super) fn said(mentions: &[&str]) -> EntryBody {
    EntryBody::MessageAdded {
        text: Some(Text::new("x").unwrap()),
        reply_to: None,
        mentions: mentions.iter().map(|name| user(name)).collect(),
        meta: None,
    }
}

/// What a connection was told since it was asked last.
pub(super) fn heard(connection: &Connection) -> Vec<Event> {
    let mut frames = Vec::new();
    let taken = connection.outbox.next_batch(&mut frames, 1_000);
    assert!(taken.now_or_never().is_none_or(|taken| taken.is_ok()));
    let event = |frame: Outgoing| match frame {
        Outgoing::Event(delivery) => delivery.event().clone(),
        other @ Outgoing::Answer { .. } => panic!("{other:?}"),
    };
    frames.into_iter().map(event).collect()
}

/// Short: the seq of a notification's message, unread, mentions, and what else is said of it.
fn short(event: &Event) -> String {
    match event {
        Event::Notification(it) => {
            let mentioned = if it.mentioned { " you" } else { "" };
            let updated = if it.updated { " updated" } else { "" };
            let deleted = if it.message.is_deleted() {
                " deleted"
            } else {
                ""
            };
            let (seq, unread, mentions) = (it.message.id.seq, it.unread, it.mentions);
            format!("{seq}: {unread} {mentions}{mentioned}{updated}{deleted}")
        }
        Event::UnreadCount {
            unread, mentions, ..
        } => format!("{unread} {mentions}"),
        other => panic!("{other:?}"),
    }
}

fn told(connection: &Connection) -> Vec<String> {
    heard(connection).iter().map(short).collect()
}

/// A room of which all is known, from its beginning.
fn room(log: &mut ModelLog) -> Watchers {
    let mut watchers = Watchers::new(RoomId::new("r").unwrap());
    let life = Life::from(&log.open());
    let owed = watchers.tally.seed(life, &[], life.epoch);
    watchers.settle(&owed);
    watchers
}

fn watch(watchers: &mut Watchers, connections: &[&Arc<Connection>]) {
    let connections: Vec<_> = connections.iter().copied().cloned().collect();
    let user = connections[0].user.clone();
    watchers.watch((&user, 1), None, &connections, |_| false);
}

fn id(entry: &Entry) -> MessageId {
    entry.message_id()
}

#[test]
fn each_watcher_is_told_a_message_with_his_own_counts_its_author_too() {
    let mut log = ModelLog::default();
    let mut watchers = room(&mut log);
    let (ann, ben) = (connection("ann"), connection("ben"));
    watch(&mut watchers, &[&ann]);
    watch(&mut watchers, &[&ben]);
    watchers.deliver(&log.append_by(user("cat"), said(&["ben"])));
    watchers.deliver(&log.append_by(user("ann"), said(&[])));
    assert_eq!(told(&ann), ["1: 1 0", "2: 0 0"]);
    assert_eq!(told(&ben), ["1: 1 1 you", "2: 2 1"]);
}

#[test]
fn a_change_of_the_newest_message_is_told_and_one_of_an_older_message_only_if_it_counts() {
    let mut log = ModelLog::default();
    let mut watchers = room(&mut log);
    let ann = connection("ann");
    watch(&mut watchers, &[&ann]);
    let first = log.append_by(user("ben"), said(&["ann"]));
    let second = log.append_by(user("ben"), said(&[]));
    watchers.deliver(&first);
    watchers.deliver(&second);
    heard(&ann);
    let edit = |message, mentions: &[&str]| EntryBody::MessageUpdated {
        message,
        text: Some(Text::new("y").unwrap()),
        mentions: mentions.iter().map(|name| user(name)).collect(),
    };
    watchers.deliver(&log.append_by(user("ben"), edit(id(&second), &["ann"])));
    watchers.deliver(&log.append_by(user("ben"), edit(id(&first), &["ann"])));
    watchers.deliver(&log.append_by(user("ben"), edit(id(&first), &[])));
    let delete = |message| EntryBody::MessageDeleted { message };
    watchers.deliver(&log.append_by(user("ben"), delete(id(&second))));
    watchers.deliver(&log.append_by(user("ben"), delete(id(&first))));
    let expected = ["2: 2 2 you updated", "2 1", "2: 1 0 updated deleted", "0 0"];
    assert_eq!(told(&ann), expected);
}

#[test]
fn whoever_is_in_the_room_is_told_nothing_until_he_goes_out_and_then_with_the_right_counts() {
    let mut log = ModelLog::default();
    let mut watchers = room(&mut log);
    let (phone, laptop) = (connection("ann"), connection("ann"));
    watch(&mut watchers, &[&phone, &laptop]);
    watchers.comes_in(&laptop);
    watchers.deliver(&log.append_by(user("ben"), said(&[])));
    watchers.comes_in(&phone);
    assert!(!watchers.is_wanted());
    watchers.deliver(&log.append_by(user("ben"), said(&[])));
    watchers.goes_out(&laptop);
    watchers.goes_out(&laptop);
    watchers.deliver(&log.append_by(user("ben"), said(&[])));
    assert_eq!(told(&phone), ["1: 1 0"]);
    assert_eq!(told(&laptop), ["3: 3 0"]);
    watchers.unwatch(&user("ann"), 0);
    assert!(watchers.is_wanted(), "that was an earlier stay");
    watchers.unwatch(&user("ann"), 1);
    assert!(!watchers.is_wanted() && watchers.is_empty());
}

#[test]
fn equal_counts_share_one_delivery() {
    let mut log = ModelLog::default();
    let mut watchers = room(&mut log);
    let people: Vec<_> = (0..3).map(|n| connection(&format!("u{n}"))).collect();
    people.iter().for_each(|one| watch(&mut watchers, &[one]));
    watchers.deliver(&log.append_by(user("ben"), said(&[])));
    let pointers = people.iter().map(|one| {
        let mut frames = Vec::new();
        let _ = one.outbox.next_batch(&mut frames, 9).now_or_never();
        match &frames[0] {
            Outgoing::Event(delivery) => Arc::as_ptr(delivery),
            other @ Outgoing::Answer { .. } => panic!("{other:?}"),
        }
    });
    let pointers: std::collections::HashSet<_> = pointers.collect();
    assert_eq!(pointers.len(), 1);
}

fn loaded(log: &ModelLog) -> Loaded {
    super::properties::loaded(log)
}

#[test]
fn what_comes_before_counts_are_known_is_told_once_they_are() {
    let mut log = ModelLog::default();
    log.append_by(user("ben"), said(&[]));
    let mut watchers = Watchers::new(RoomId::new("r").unwrap());
    let ann = connection("ann");
    watch(&mut watchers, &[&ann]);
    let second = log.append_by(user("ben"), said(&[]));
    watchers.deliver(&second);
    assert!(watchers.tally.owes());
    let ticket = watchers.tally.ticket();
    let read = loaded(&log);
    let third = log.append_by(user("ben"), said(&[]));
    watchers.deliver(&third);
    assert_eq!(told(&ann), Vec::<String>::new());
    let owed = watchers.tally.know(ticket, read, third.position).unwrap();
    watchers.settle(&owed);
    assert_eq!(told(&ann), ["2: 3 0", "3: 3 0"]);
}

#[test]
fn what_was_read_before_the_log_was_lost_is_not_taken_and_counts_are_told_again() {
    let mut log = ModelLog::default();
    let mut watchers = room(&mut log);
    let ann = connection("ann");
    watch(&mut watchers, &[&ann]);
    watchers.deliver(&log.append_by(user("ben"), said(&[])));
    heard(&ann);
    watchers.tally.forget();
    let ticket = watchers.tally.ticket();
    let read = loaded(&log);
    watchers.tally.forget();
    let last = log.head().unwrap().position;
    assert!(watchers.tally.know(ticket, read, last).is_none());
    assert!(watchers.tally.owes());
    let ticket = watchers.tally.ticket();
    let owed = watchers.tally.know(ticket, loaded(&log), last).unwrap();
    watchers.settle(&owed);
    assert_eq!(told(&ann), ["1 0"]);
}

#[test]
fn another_epoch_makes_markers_count_anew() {
    let mut log = ModelLog::default();
    let mut watchers = room(&mut log);
    let ann = connection("ann");
    watch(&mut watchers, &[&ann]);
    let entry = log.append_by(user("ben"), said(&[]));
    watchers.deliver(&entry);
    watchers.tally.heard(entry.position.epoch);
    assert!(watchers.tally.backlog().is_some());
    watchers.tally.heard(Epoch(99));
    assert!(watchers.tally.backlog().is_none() && watchers.tally.owes());
}

#[test]
fn a_marker_that_comes_late_does_not_take_back_what_was_read() {
    let mut log = ModelLog::default();
    let mut watchers = room(&mut log);
    let ann = connection("ann");
    watch(&mut watchers, &[&ann]);
    for _ in 0..3 {
        watchers.deliver(&log.append_by(user("ben"), said(&[])));
    }
    let at = |seq| Marker {
        epoch: log.head().unwrap().position.epoch,
        seq,
    };
    assert_eq!(watchers.mark(&user("ann"), at(3)), at(3));
    assert_eq!(watchers.mark(&user("ann"), at(1)), at(3));
    heard(&ann);
    watchers.deliver(&log.append_by(user("ben"), said(&[])));
    assert_eq!(told(&ann), ["4: 1 0"]);
}
