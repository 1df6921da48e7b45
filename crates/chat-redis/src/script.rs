//! The Lua scripts, and commands that call them by hash.
//!
//! Each script says in its head what it promises; `common.lua` is put before all of them.

use std::sync::LazyLock;

use redis::{Cmd, Pipeline, ToRedisArgs};

/// A script that Redis runs in one atomic step.
#[derive(Debug)]
pub(crate) struct Script {
    inner: redis::Script,
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $($file:literal)+;)*) => {
        $(
            $(#[$doc])*
            pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| Script {
                inner: redis::Script::new(concat!(
                    include_str!("../scripts/common.lua"),
                    $(include_str!(concat!("../scripts/", $file)),)+
                )),
            });
        )*

        /// A pipeline that loads every script.
        pub(crate) fn load_all() -> Pipeline {
            let mut pipe = Pipeline::new();
            $( pipe.load_script(&$name.inner); )*
            pipe
        }
    };
}

scripts! {
    APPEND = "stream.lua" "append.lua";
    OPEN = "stream.lua" "open.lua";
    READ = "read.lua";
    PAGE = "overlay.lua" "page.lua";
    UNREAD = "overlay.lua" "unread.lua";
    SET_EPOCH = "set_epoch.lua";
    START_OVER = "start_over.lua";
    PUT = "stream.lua" "put.lua";
    JOIN = "in_time.lua" "join.lua";
    LEAVE = "in_time.lua" "leave.lua";
    FADE = "in_time.lua" "fade.lua";
    TAKE_OFF = "in_time.lua" "take_off.lua";
    KEEP = "keep.lua";
    OCCUPANTS = "occupants.lua";
    ACCESS = "people.lua" "access.lua";
    ENTER = "people.lua" "enter.lua";
    CREATE = "people.lua" "create.lua";
    EDIT = "people.lua" "edit.lua";
    RESTORE_MEMBERS = "people.lua" "restore_members.lua";
    RESTORE_ROOM = "restore_room.lua";
    RESTORE_PERSON = "restore_person.lua";
    ROOMS = "rooms.lua";
    BEGIN = "user.lua" "begin.lua";
    SETTLE = "user.lua" "settle.lua";
    CLEAN = "user.lua" "clean.lua";
    VERSION = "user.lua" "version.lua";
    LIST = "user.lua" "list.lua";
    SEEN = "seen.lua";
    MARK = "mark.lua";
    MARKERS = "markers.lua";
    NEWEST = "newest.lua";
    SAY = "in_time.lua" "say.lua";
    ARRIVE = "in_time.lua" "arrive.lua";
    LEASE = "lease.lua";
    REVOKE = "revoke.lua";
    LIFT = "lift.lua";
    REVOKED = "revoked.lua";
    IS_REVOKED = "is_revoked.lua";
}

impl Script {
    /// A command that calls it; arguments that are no keys follow.
    pub(crate) fn call<K: ToRedisArgs>(&self, keys: &[K]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.inner.get_hash()).arg(keys.len()).arg(keys);
        command
    }
}
