//! The directory while nodes die between its steps, Redis is full, and lists are.

use std::collections::BTreeSet;
use std::time::Duration;

use chat_core::{
    Authority, Created, Directory, DirectoryError, Edited, Epoch, Marker, Member, NewRoom, Role,
    RoomEdit, RoomId, RoomKind, UserId,
};
use chat_redis::{RedisConfig, RedisDirectory};
use chat_testkit::make::{room, user};

use crate::support::{self, Answer, Server};

fn directory(server: &Server) -> RedisDirectory {
    small(server, |_| ())
}

fn small(server: &Server, change: impl FnOnce(&mut RedisConfig)) -> RedisDirectory {
    let mut config = support::config(&server.url());
    change(&mut config);
    RedisDirectory::new(config).unwrap()
}

fn members(names: &[&str]) -> Vec<Member> {
    let member = |name: &&str| Member {
        user: user(name),
        role: Role::Member,
    };
    names.iter().map(member).collect()
}

async fn create(
    directory: &RedisDirectory,
    name: &str,
    names: &[&str],
) -> Result<Created, DirectoryError> {
    let new = NewRoom {
        id: room(name),
        kind: RoomKind::Private,
        name: None,
        topic: None,
        slow_mode_s: 0,
        members: members(names),
        fingerprint: [0; 16],
    };
    directory.create(new).await
}

/// Adds and removes in the engine's own name.
async fn change(
    directory: &RedisDirectory,
    name: &str,
    add: &[&str],
    remove: &[&str],
) -> Result<Edited, DirectoryError> {
    let authority = Authority {
        actor: user("operator"),
        role: None,
        above: true,
    };
    let edit = RoomEdit {
        add: members(add),
        remove: remove.iter().map(|name| user(name)).collect(),
        ..RoomEdit::default()
    };
    directory.edit(&room(name), &authority, edit).await
}

/// The rooms that a user's list leads to.
async fn listed(directory: &RedisDirectory, user: &UserId) -> BTreeSet<RoomId> {
    let found = directory.memberships(user, 10_000).await.unwrap();
    found.rooms.into_iter().map(|one| one.room.id).collect()
}

/// The rooms whose members name the user.
async fn standing(directory: &RedisDirectory, user: &UserId, rooms: &[RoomId]) -> BTreeSet<RoomId> {
    let mut found = BTreeSet::new();
    for room in rooms {
        let access = directory.access(room, user).await.unwrap();
        if access.is_some_and(|access| access.role.is_some()) {
            found.insert(room.clone());
        }
    }
    found
}

fn changing(name: &str) -> String {
    format!("chat:user:{{{name}}}:changing")
}

fn list(name: &str) -> String {
    format!("chat:user:{{{name}}}:rooms")
}

/// A script as the crate makes it.
macro_rules! script {
    ($($file:literal)+) => {
        concat!(
            include_str!("../../../scripts/common.lua"),
            $(include_str!(concat!("../../../scripts/", $file)),)+
        )
    };
}

fn eval(server: &Server, script: &str, keys: &[&str], args: &[&str]) -> Answer {
    let count = keys.len().to_string();
    let words = [&["EVAL", script, &count], keys, args].concat();
    server.run(&words)
}

/// Lets the deadline of every step pass that is under way for a user.
fn pass_deadlines(server: &Server, name: &str) {
    let script = r"
        for _, token in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
          redis.call('ZADD', KEYS[1], 1, token)
        end
        return 1";
    server.run(&["EVAL", script, "1", &changing(name)]);
}

#[tokio::test]
async fn a_node_that_dies_in_any_step_leaves_lists_and_versions_that_heal() {
    let server = Server::start().await;
    // With one connection, so that what comes after a dropped step is answered after it.
    let dying = small(&server, |config| config.pool_size = 1);
    let alive = directory(&server);
    let alice = user("alice");
    let rooms: Vec<RoomId> = (0..40).map(|n| room(&format!("r{n}"))).collect();
    for round in 0..6_u64 {
        for (n, room) in rooms.iter().enumerate() {
            // Dropped at some point, as if its node had died there.
            let cut = Duration::from_micros(100 + 83 * (n as u64 + round));
            let step = async {
                if round % 2 == 0 {
                    dying.enter(room, &alice).await.map(|_| ())
                } else {
                    let gone = change(&dying, room.as_str(), &[], &["alice"]).await;
                    gone.map(|_| ())
                }
            };
            let before = alive.memberships(&alice, 1_000).await.unwrap();
            let _ = tokio::time::timeout(cut, step).await;
            // What was on its way has acted or never will.
            dying.last_seen(std::slice::from_ref(&alice)).await.unwrap();
            pass_deadlines(&server, "alice");
            let after = alive.memberships(&alice, 1_000).await.unwrap();
            if before.rooms.len() != after.rooms.len() {
                assert!(after.version > before.version, "a change was not counted");
            }
        }
        let found = standing(&alive, &alice, &rooms).await;
        assert_eq!(listed(&alive, &alice).await, found);
    }
    // What no longer leads anywhere is forgotten.
    let left = listed(&alive, &alice).await.len();
    let named = server.run(&["ZCARD", &list("alice")]).number();
    assert_eq!(usize::try_from(named), Ok(left));
    assert_eq!(server.run(&["EXISTS", &changing("alice")]).number(), 0);
}

#[tokio::test]
async fn a_version_that_stands_still_means_that_nothing_has_changed() {
    let server = Server::start().await;
    let alice = user("alice");
    let rooms: Vec<RoomId> = (0..6).map(|n| room(&format!("r{n}"))).collect();
    let mut writers = Vec::new();
    for writer in 0..4_u64 {
        let (node, rooms, alice) = (directory(&server), rooms.clone(), alice.clone());
        writers.push(tokio::spawn(async move {
            for step in 0..60_u64 {
                let room = &rooms[((step * 7 + writer) % 6) as usize];
                if (step + writer).is_multiple_of(2) {
                    node.enter(room, &alice).await.unwrap();
                } else {
                    change(&node, room.as_str(), &[], &["alice"]).await.ok();
                }
            }
        }));
    }
    let reader = directory(&server);
    let mut seen = Vec::new();
    while writers.iter().any(|writer| !writer.is_finished()) {
        seen.push(reader.memberships(&alice, 100).await.unwrap());
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let last = reader.memberships(&alice, 100).await.unwrap();
    let version = reader.membership_versions(std::slice::from_ref(&alice));
    assert_eq!(version.await, Ok(vec![last.version]));
    let ids = |rooms: &chat_core::Memberships| -> BTreeSet<RoomId> {
        rooms.rooms.iter().map(|one| one.room.id.clone()).collect()
    };
    assert_eq!(ids(&last), standing(&reader, &alice, &rooms).await);
    for pair in seen.windows(2) {
        assert!(pair[0].version <= pair[1].version);
    }
    for earlier in seen {
        if earlier.version == last.version {
            assert_eq!(ids(&earlier), ids(&last));
        }
    }
}

#[tokio::test]
async fn a_step_that_comes_too_late_does_nothing() {
    let server = Server::start().await;
    let keys = ["chat:{r}:room", "chat:{r}:members"];
    for script in [
        script!("people.lua" "enter.lua"),
        script!("people.lua" "create.lua"),
        script!("people.lua" "edit.lua"),
    ] {
        let answer = eval(&server, script, &keys, &["1", "100", "alice"]);
        assert_eq!(answer.lines(), ["L"]);
    }
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn a_list_forgets_no_room_whose_members_may_have_changed_since() {
    let server = Server::start().await;
    let node = directory(&server);
    node.enter(&room("r"), &user("alice")).await.unwrap();
    let keys = ["rooms", "about", "changing"].map(|what| format!("chat:user:{{alice}}:{what}"));
    let keys = keys.each_ref().map(String::as_str);
    let clean = |version| {
        let script = script!("user.lua" "clean.lua");
        eval(&server, script, &keys, &["r", version]).number()
    };
    let settle = |changed| {
        let script = script!("user.lua" "settle.lua");
        eval(&server, script, &keys[1..], &["token", changed]).number()
    };
    // By somebody who found him to be no member before he came.
    assert_eq!(clean("0"), 0);
    // By somebody who found it while he was about to come.
    server.run(&["ZADD", keys[2], "9000000000000", "token"]);
    assert_eq!(clean("1"), 0);
    // However often it is said that the step is over, it counts once.
    assert_eq!([settle("1"), settle("1"), settle("0")], [2; 3]);
    assert_eq!([clean("1"), clean("2"), clean("2")], [0, 1, 0]);
}

#[tokio::test]
async fn a_change_that_nobody_settles_is_counted_later_and_not_remembered_for_ever() {
    let server = Server::start().await;
    let node = directory(&server);
    node.enter(&room("r"), &user("alice")).await.unwrap();
    let keys = ["rooms", "about", "changing"].map(|what| format!("chat:user:{{alice}}:{what}"));
    let keys = keys.each_ref().map(String::as_str);
    let begin = script!("user.lua" "begin.lua");
    eval(
        &server,
        begin,
        &keys,
        &["token", "10000", "s", "100", "60000"],
    );
    let lives = server.run(&["PTTL", keys[2]]).number();
    assert!((1..=60_000).contains(&lives), "{lives}");
    let before = node.memberships(&user("alice"), 100).await.unwrap();
    pass_deadlines(&server, "alice");
    let after = node.memberships(&user("alice"), 100).await.unwrap();
    assert_eq!(after.version, before.version + 1);
    assert_eq!(server.run(&["EXISTS", keys[2]]).number(), 0);
}

#[tokio::test]
async fn a_full_redis_refuses_changes_whole_and_goes_on_reading() {
    let server = Server::start().await;
    let node = directory(&server);
    let (alice, general) = (user("alice"), room("general"));
    node.enter(&general, &alice).await.unwrap();
    create(&node, "team", &["alice", "bob"]).await.unwrap();
    let marker = Marker {
        epoch: Epoch(1),
        seq: 5,
    };
    node.mark(&general, &alice, marker, 1).await.unwrap();
    // Somebody died in a step, and its deadline has passed.
    server.run(&["ZADD", &changing("alice"), "1", "token"]);
    let before = server.run(&["DBSIZE"]).number();
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = |result: Result<(), DirectoryError>| {
        assert!(matches!(result, Err(DirectoryError::Unavailable(_))));
    };
    refused(node.enter(&room("new"), &alice).await.map(|_| ()));
    refused(node.enter(&general, &user("bob")).await.map(|_| ()));
    refused(create(&node, "other", &["bob"]).await.map(|_| ()));
    refused(
        change(&node, "team", &["carol"], &["bob"])
            .await
            .map(|_| ()),
    );
    let further = Marker { seq: 6, ..marker };
    refused(node.mark(&general, &alice, further, 1).await.map(|_| ()));
    refused(node.seen(&[(alice.clone(), 5)]).await);
    assert_eq!(server.run(&["DBSIZE"]).number(), before);

    let memberships = node.memberships(&alice, 10).await.unwrap();
    assert_eq!(memberships.rooms.len(), 2);
    assert_eq!(memberships.rooms[0].marker, Some(marker));
    let users = [alice.clone(), user("bob")];
    let versions = node.membership_versions(&users).await.unwrap();
    assert_eq!(versions, [memberships.version, 1]);
    let roles = node.roles(&room("team"), &users).await.unwrap();
    assert_eq!(roles, [Some(Role::Member); 2]);
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    let counted = node.membership_versions(&users).await.unwrap();
    assert_eq!(counted, [memberships.version + 1, 1], "what had waited");
    assert!(change(&node, "team", &["carol"], &["bob"]).await.is_ok());
}

#[tokio::test]
async fn full_lists_refuse_whole_steps_and_leave_nothing_behind() {
    let server = Server::start().await;
    let node = small(&server, |config| {
        config.rooms_max = 4;
        config.room_members_max = 2;
        config.user_rooms_max = 2;
    });
    let too_many = |result: Result<(), DirectoryError>| {
        assert!(matches!(
            result,
            Err(DirectoryError::TooMany { limit: 2, .. })
        ));
    };
    // Under names that nobody takes: what was refused has no place in the list of all rooms.
    too_many(create(&node, "crowd", &["x", "y", "z"]).await.map(|_| ()));
    assert_eq!(node.access(&room("crowd"), &user("x")).await, Ok(None));
    assert!(create(&node, "a", &["x", "y"]).await.is_ok());
    too_many(change(&node, "a", &["z"], &[]).await.map(|_| ()));
    too_many(change(&node, "a", &["v", "w"], &["x"]).await.map(|_| ()));
    let edited = change(&node, "a", &["z"], &["x"]).await.unwrap();
    assert_eq!(edited.room.member_count, 2);

    assert!(create(&node, "b", &["y"]).await.is_ok());
    too_many(create(&node, "never", &["v", "y"]).await.map(|_| ()));
    too_many(node.enter(&room("never"), &user("y")).await.map(|_| ()));
    assert!(create(&node, "c", &["v"]).await.is_ok());
    assert!(node.enter(&room("open"), &user("w")).await.is_ok());
    assert!(node.enter(&room("open"), &user("v")).await.is_ok());
    too_many(node.enter(&room("open"), &user("u")).await.map(|_| ()));
    let full = node.enter(&room("fifth"), &user("u")).await;
    assert_eq!(full, Err(DirectoryError::Full(4)));
    let full = create(&node, "fifth", &["u"]).await;
    assert_eq!(full, Err(DirectoryError::Full(4)));
    let everybody: Vec<String> = (0..1_001).map(|n| format!("u{n}")).collect();
    let everybody: Vec<&str> = everybody.iter().map(String::as_str).collect();
    let step = change(&node, "c", &everybody, &[]).await;
    assert!(matches!(
        step,
        Err(DirectoryError::TooMany { limit: 1_000, .. })
    ));

    // Lists name what their users are members of, and nothing is under way.
    for (name, rooms) in [("u", 0), ("v", 2), ("w", 1), ("x", 0), ("y", 2), ("z", 1)] {
        let named = server.run(&["ZCARD", &list(name)]).number();
        assert_eq!(named, rooms, "{name}");
        assert_eq!(server.run(&["EXISTS", &changing(name)]).number(), 0);
    }
}

#[tokio::test]
async fn lists_longer_than_a_page_are_whole() {
    let server = Server::start().await;
    let node = directory(&server);
    let script = r"
        for n = 1, 1300 do
          local room = string.format('r%04d', n)
          redis.call('ZADD', 'chat:user:{alice}:rooms', 0, room)
          if n % 10 > 0 then
            redis.call('HSET', 'chat:{' .. room .. '}:room', 'kind', 'open', 'version', n)
            redis.call('ZADD', 'chat:{' .. room .. '}:members', 4000 * n + n % 3, 'alice')
          end
          redis.call('ZADD', 'chat:{big}:members', 4 * n + n % 3, 'u' .. n)
        end
        return 1";
    server.run(&["EVAL", script, "0"]);
    let alice = user("alice");
    let found = node.memberships(&alice, 10_000).await.unwrap().rooms;
    assert_eq!(found.len(), 1_170);
    assert!(found.is_sorted_by(|a, b| a.room.id < b.room.id));
    assert_eq!(server.run(&["ZCARD", &list("alice")]).number(), 1_170);
    let some = node.memberships(&alice, 700).await.unwrap().rooms;
    assert_eq!(some, found[..700]);

    let mut everybody = Vec::new();
    let mut cursor = None;
    loop {
        let page = node.members(&room("big"), cursor, 10_000).await.unwrap();
        assert!(page.members.len() <= 500);
        everybody.extend(page.members.into_iter().map(|member| member.user));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (1..=1_300).map(|n| user(&format!("u{n}"))).collect();
    assert_eq!(everybody, expected);
    let roles = node.roles(&room("big"), &expected).await.unwrap();
    assert_eq!(roles.len(), 1_300);
    assert_eq!(
        roles[..3],
        [Some(Role::Admin), Some(Role::Owner), Some(Role::Member)]
    );
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again_in_the_middle() {
    let server = Server::start().await;
    let node = directory(&server);
    let alice = user("alice");
    for n in 0..5 {
        server.run(&["SCRIPT", "FLUSH"]);
        let entered = node.enter(&room(&format!("r{n}")), &alice).await.unwrap();
        assert_eq!(entered.role, Some(Role::Member));
    }
    let found = node.memberships(&alice, 10).await.unwrap();
    assert_eq!((found.version, found.rooms.len()), (5, 5));
}
