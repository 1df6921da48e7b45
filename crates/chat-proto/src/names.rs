//! The words of the wire for the closed choices of chat-core.

use chat_core::{Part, ResetReason, Role, RoomKind, Status};

pub(crate) fn kind_name(kind: RoomKind) -> &'static str {
    match kind {
        RoomKind::Open => "open",
        RoomKind::Private => "private",
        RoomKind::Direct => "direct",
    }
}

pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

pub(crate) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Offline => "offline",
        Status::Away => "away",
        Status::Busy => "busy",
        Status::Online => "online",
    }
}

pub(crate) fn reason_name(reason: ResetReason) -> &'static str {
    match reason {
        ResetReason::Lost => "lost",
        ResetReason::Trimmed => "trimmed",
    }
}

pub(crate) fn part_name(part: Part) -> &'static str {
    match part {
        Part::BrokerIn => "broker_in",
        Part::BrokerOut => "broker_out",
        Part::Presence => "presence",
        Part::Store => "store",
    }
}
