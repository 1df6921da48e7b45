//! Who may do what in a room: one table, asked by every command.
//!
//! It decides by what the engine knows. What changes a room or its members is checked once more by
//! the directory, in the step that makes the change ([`Authority`]), because roles may have changed
//! since.

use crate::directory::Authority;
use crate::error::ServiceError;
use crate::identity::Identity;
use crate::ids::{RoomId, UserId};
use crate::room::{Role, RoomKind};

/// What somebody wants to do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Join, read history, see who is there, set a read marker.
    Read,
    /// Send, edit and delete one's own, react, type.
    Say,
    /// Delete what others said.
    Moderate,
    /// Change name, topic and slow mode.
    Update,
    /// Add members, give them roles.
    Invite,
    /// Remove others.
    Remove,
    /// Remove oneself.
    Quit,
}

/// What is to be made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Forbidden,
    /// For this user there is no such room.
    Hidden,
}

/// In a room of a kind, by somebody with a role (or none), who has the `admin` claim or not.
///
/// The claim is no key to others' rooms: it counts where its bearer may be anyway. A direct room has
/// two equal members for ever, and nobody above them.
pub(super) fn verdict(action: Action, kind: RoomKind, role: Option<Role>, admin: bool) -> Verdict {
    if kind != RoomKind::Open && role.is_none() {
        return Verdict::Hidden;
    }
    let leads = admin || role >= Some(Role::Admin);
    let allowed = match (action, kind) {
        (Action::Read | Action::Say, _) => true,
        (Action::Moderate, _) => leads,
        (Action::Update | Action::Invite | Action::Remove | Action::Quit, RoomKind::Direct) => {
            false
        }
        (Action::Update | Action::Invite | Action::Remove, RoomKind::Open | RoomKind::Private) => {
            leads
        }
        (Action::Quit, RoomKind::Open | RoomKind::Private) => true,
    };
    if allowed {
        Verdict::Allowed
    } else {
        Verdict::Forbidden
    }
}

/// The same as an answer. A hidden room is answered as one that does not exist.
pub(super) fn check(
    action: Action,
    kind: RoomKind,
    role: Option<Role>,
    admin: bool,
) -> Result<(), ServiceError> {
    match verdict(action, kind, role, admin) {
        Verdict::Allowed => Ok(()),
        Verdict::Hidden => Err(no_room()),
        Verdict::Forbidden => Err(ServiceError::Forbidden(refusal(action, kind))),
    }
}

/// The one answer for a room that does not exist, or not for this user.
pub(super) fn no_room() -> ServiceError {
    ServiceError::NotFound("room")
}

fn refusal(action: Action, kind: RoomKind) -> &'static str {
    match (action, kind) {
        (_, RoomKind::Direct) => "a direct room has two members for ever, and neither leads it",
        _ => "only admins and owners of the room may do this",
    }
}

/// Whether somebody may make a room under this id: the one place to ask.
pub(super) fn may_create(identity: &Identity, room: &RoomId) -> Result<(), ServiceError> {
    if identity.permits(room) {
        return Ok(());
    }
    Err(ServiceError::Forbidden(
        "your token does not name a room with this id",
    ))
}

/// In whose name the directory makes a change that this table allowed.
pub(super) fn authority(action: Action, actor: &UserId, admin: bool) -> Authority {
    let needed = (!admin && action != Action::Quit).then_some(Role::Admin);
    Authority {
        actor: actor.clone(),
        role: needed,
        above: admin,
    }
}

#[cfg(test)]
mod tests {
    use super::Action::{Invite, Moderate, Quit, Read, Remove, Say, Update};
    use super::*;

    /// Who, in columns: nobody, member, admin, owner; then the same with the `admin` claim.
    const ASKERS: [(Option<Role>, bool); 8] = [
        (None, false),
        (Some(Role::Member), false),
        (Some(Role::Admin), false),
        (Some(Role::Owner), false),
        (None, true),
        (Some(Role::Member), true),
        (Some(Role::Admin), true),
        (Some(Role::Owner), true),
    ];

    /// `y` allowed, `-` forbidden, `.` there is no such room.
    const TABLE: [(RoomKind, Action, &str); 21] = [
        (RoomKind::Open, Read, "yyyy yyyy"),
        (RoomKind::Open, Say, "yyyy yyyy"),
        (RoomKind::Open, Moderate, "--yy yyyy"),
        (RoomKind::Open, Update, "--yy yyyy"),
        (RoomKind::Open, Invite, "--yy yyyy"),
        (RoomKind::Open, Remove, "--yy yyyy"),
        (RoomKind::Open, Quit, "yyyy yyyy"),
        (RoomKind::Private, Read, ".yyy .yyy"),
        (RoomKind::Private, Say, ".yyy .yyy"),
        (RoomKind::Private, Moderate, ".-yy .yyy"),
        (RoomKind::Private, Update, ".-yy .yyy"),
        (RoomKind::Private, Invite, ".-yy .yyy"),
        (RoomKind::Private, Remove, ".-yy .yyy"),
        (RoomKind::Private, Quit, ".yyy .yyy"),
        (RoomKind::Direct, Read, ".yyy .yyy"),
        (RoomKind::Direct, Say, ".yyy .yyy"),
        (RoomKind::Direct, Moderate, ".-yy .yyy"),
        (RoomKind::Direct, Update, ".--- .---"),
        (RoomKind::Direct, Invite, ".--- .---"),
        (RoomKind::Direct, Remove, ".--- .---"),
        (RoomKind::Direct, Quit, ".--- .---"),
    ];

    #[test]
    fn the_table_says_who_may_do_what() {
        for (kind, action, row) in TABLE {
            let expected: Vec<_> = row.chars().filter(|mark| *mark != ' ').collect();
            let said = ASKERS.map(|(role, admin)| match verdict(action, kind, role, admin) {
                Verdict::Allowed => 'y',
                Verdict::Forbidden => '-',
                Verdict::Hidden => '.',
            });
            assert_eq!(said.as_slice(), expected, "{kind:?} {action:?}");
        }
    }

    #[test]
    fn a_hidden_room_is_answered_like_one_that_does_not_exist() {
        let hidden = check(Read, RoomKind::Private, None, true);
        assert_eq!(hidden, Err(ServiceError::NotFound("room")));
    }

    #[test]
    fn the_directory_asks_for_the_role_unless_the_engine_vouches_or_one_removes_oneself() {
        let actor = UserId::new("alice").unwrap();
        let needed = |action, admin| {
            let authority = authority(action, &actor, admin);
            (authority.role, authority.above)
        };
        assert_eq!(needed(Remove, false), (Some(Role::Admin), false));
        assert_eq!(needed(Remove, true), (None, true));
        assert_eq!(needed(Quit, false), (None, false));
    }
}
