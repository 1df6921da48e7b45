//! The room that somebody asks for, checked and completed. Pure.

use crate::directory::NewRoom;
use crate::error::ServiceError;
use crate::ids::{MessageKey, RoomId, UserId};
use crate::limits::{MEMBERS_PER_COMMAND_MAX, ROOM_NAME_BYTES_MAX};
use crate::room::{Member, Role, RoomKind};
use crate::service::room_names;

/// A room that somebody wants.
#[derive(Debug)]
pub(in crate::service) struct Wanted {
    pub(in crate::service) room: Option<RoomId>,
    pub(in crate::service) kind: RoomKind,
    pub(in crate::service) name: Option<String>,
    pub(in crate::service) members: Vec<UserId>,
    pub(in crate::service) key: Option<MessageKey>,
}

impl Wanted {
    /// The room to be created, with everybody in it.
    pub(super) fn by(self, creator: &UserId) -> Result<NewRoom, ServiceError> {
        check_users("members", &self.members)?;
        check_bytes("name", self.name.as_deref(), ROOM_NAME_BYTES_MAX)?;
        let users = once_each(std::iter::once(creator).chain(&self.members).cloned());
        let id = self.id(creator, &users)?;
        let name = self.name.filter(|name| !name.is_empty());
        let fingerprint = room_names::fingerprint(self.kind, creator, name.as_deref(), &users);
        let role = |user: &UserId| match self.kind {
            RoomKind::Open | RoomKind::Private if user == creator => Role::Owner,
            _ => Role::Member,
        };
        let members = users.into_iter().map(|user| Member {
            role: role(&user),
            user,
        });
        Ok(NewRoom {
            id,
            kind: self.kind,
            name,
            topic: None,
            slow_mode_s: 0,
            members: members.collect(),
            fingerprint,
        })
    }

    fn id(&self, creator: &UserId, users: &[UserId]) -> Result<RoomId, ServiceError> {
        if self.kind == RoomKind::Direct {
            return self.direct_id(creator, users);
        }
        match (&self.room, &self.key) {
            (Some(room), _) => room_names::check_asked(room).map(|()| room.clone()),
            (None, Some(key)) => room_names::of_key(creator, key),
            (None, None) => room_names::drawn(),
        }
    }

    fn direct_id(&self, creator: &UserId, users: &[UserId]) -> Result<RoomId, ServiceError> {
        if self.room.is_some() {
            let problem = "is not asked for: a direct room has the id of its two users";
            return Err(ServiceError::bad_request("room", problem));
        }
        if self.name.as_ref().is_some_and(|name| !name.is_empty()) {
            return Err(ServiceError::bad_request(
                "name",
                "is none of a direct room",
            ));
        }
        match users {
            [_, other] => room_names::of_pair(creator, other),
            // Notes to oneself.
            [_] if !self.members.is_empty() => room_names::of_pair(creator, creator),
            _ => {
                let problem = "must name the one other user of a direct room";
                Err(ServiceError::bad_request("members", problem))
            }
        }
    }
}

/// Users, each where he is named first.
pub(super) fn once_each(users: impl IntoIterator<Item = UserId>) -> Vec<UserId> {
    let mut once: Vec<UserId> = Vec::new();
    for user in users {
        if !once.contains(&user) {
            once.push(user);
        }
    }
    once
}

pub(super) fn check_users(field: &'static str, users: &[UserId]) -> Result<(), ServiceError> {
    check_size(field, users.len(), MEMBERS_PER_COMMAND_MAX)
}

pub(super) fn check_bytes(
    field: &'static str,
    text: Option<&str>,
    limit: usize,
) -> Result<(), ServiceError> {
    check_size(field, text.map_or(0, str::len), limit)
}

pub(super) fn check_size(
    field: &'static str,
    size: usize,
    limit: usize,
) -> Result<(), ServiceError> {
    if size <= limit {
        return Ok(());
    }
    Err(ServiceError::TooLarge { field, size, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn wanted(kind: RoomKind, members: &[&str]) -> Wanted {
        Wanted {
            room: None,
            kind,
            name: None,
            members: members.iter().map(|name| user(name)).collect(),
            key: None,
        }
    }

    fn made(wanted: Wanted) -> NewRoom {
        wanted.by(&user("alice")).unwrap()
    }

    #[test]
    fn the_creator_owns_a_room_and_nobody_a_direct_one() {
        let room = made(wanted(RoomKind::Private, &["bob", "alice", "bob"]));
        let roles: Vec<_> = room
            .members
            .iter()
            .map(|m| (m.user.as_str(), m.role))
            .collect();
        assert_eq!(roles, [("alice", Role::Owner), ("bob", Role::Member)]);
        let direct = made(wanted(RoomKind::Direct, &["bob"]));
        assert!(
            direct
                .members
                .iter()
                .all(|member| member.role == Role::Member)
        );
    }

    #[test]
    fn a_direct_room_has_two_users_or_one_with_himself() {
        let ours = made(wanted(RoomKind::Direct, &["bob"]));
        assert_eq!(
            made(wanted(RoomKind::Direct, &["alice", "bob"])).id,
            ours.id
        );
        let notes = made(wanted(RoomKind::Direct, &["alice"]));
        assert_eq!(notes.members.len(), 1);
        for members in [&[] as &[&str], &["bob", "eve"]] {
            assert!(
                wanted(RoomKind::Direct, members)
                    .by(&user("alice"))
                    .is_err()
            );
        }
        let named = Wanted {
            name: Some("us".into()),
            ..wanted(RoomKind::Direct, &["bob"])
        };
        assert!(named.by(&user("alice")).is_err());
        let asked = Wanted {
            room: Some(ours.id),
            ..wanted(RoomKind::Direct, &["bob"])
        };
        assert!(asked.by(&user("alice")).is_err());
    }

    #[test]
    fn an_id_is_asked_for_or_comes_of_the_key() {
        let key = || MessageKey::new("k").ok();
        let of_key = || Wanted {
            key: key(),
            ..wanted(RoomKind::Open, &[])
        };
        assert_eq!(made(of_key()).id, made(of_key()).id);
        let drawn = || made(wanted(RoomKind::Open, &[])).id;
        assert_ne!(drawn(), drawn());
        let asked = |id: &str| Wanted {
            room: RoomId::new(id).ok(),
            ..of_key()
        };
        assert_eq!(made(asked("team")).id.as_str(), "team");
        assert!(asked("dm.team").by(&user("alice")).is_err());
    }

    #[test]
    fn too_many_members_and_too_long_a_name_are_refused() {
        let names: Vec<_> = (0..=MEMBERS_PER_COMMAND_MAX)
            .map(|n| format!("u{n}"))
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert!(wanted(RoomKind::Open, &names).by(&user("alice")).is_err());
        let named = Wanted {
            name: Some("n".repeat(ROOM_NAME_BYTES_MAX + 1)),
            ..wanted(RoomKind::Open, &[])
        };
        assert!(named.by(&user("alice")).is_err());
    }
}
