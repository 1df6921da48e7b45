//! The ids that rooms get without being asked for, and what tells a retried creation from another
//! one. Pure.

use sha2::{Digest, Sha256};

use crate::error::ServiceError;
use crate::ids::{EntryId, MessageKey, RoomId, UserId};
use crate::room::RoomKind;

/// What ids of direct rooms begin with. Nobody may ask for one.
const DIRECT: &str = "dm.";
/// What ids begin with that are derived from a user and his key, or drawn.
const DERIVED: &str = "r.";

/// Whether an id is one of a direct room: it may be used, but nothing is brought into being by it.
pub(super) fn is_direct(id: &RoomId) -> bool {
    id.as_str().starts_with(DIRECT)
}

/// Checks an id that somebody asks for.
pub(super) fn check_asked(id: &RoomId) -> Result<(), ServiceError> {
    if is_direct(id) {
        let problem = format!("must not begin with {DIRECT}");
        return Err(ServiceError::bad_request("room", problem));
    }
    Ok(())
}

/// The room of two users (or of one with himself): the same whoever of them asks.
pub(super) fn of_pair(one: &UserId, other: &UserId) -> Result<RoomId, ServiceError> {
    let mut pair = [one.as_str(), other.as_str()];
    pair.sort_unstable();
    let hash = digest(pair.iter().map(|user| user.as_bytes()));
    named(DIRECT, &hash)
}

/// The room that a user makes with a key: the same at every retry.
pub(super) fn of_key(user: &UserId, key: &MessageKey) -> Result<RoomId, ServiceError> {
    let hash = digest([user.as_str().as_bytes(), key.as_str().as_bytes()].into_iter());
    named(DERIVED, &hash[..20])
}

/// A room that nobody named: another one at every attempt.
pub(super) fn drawn() -> Result<RoomId, ServiceError> {
    let bytes = [EntryId::random(), EntryId::random()].map(EntryId::to_bytes);
    named(DERIVED, &bytes.concat())
}

/// What a creation is made of: the same again is a retry. Either of two users may be the first to
/// make their direct room, so that it does not matter who.
pub(super) fn fingerprint(
    kind: RoomKind,
    creator: &UserId,
    name: Option<&str>,
    members: &[UserId],
) -> [u8; 16] {
    let mut members: Vec<&str> = members.iter().map(UserId::as_str).collect();
    members.sort_unstable();
    let kind_and_creator: [&[u8]; 2] = match kind {
        RoomKind::Open => [b"open", creator.as_str().as_bytes()],
        RoomKind::Private => [b"private", creator.as_str().as_bytes()],
        RoomKind::Direct => [b"direct", b""],
    };
    let name = name.unwrap_or_default().as_bytes();
    let members = members.into_iter().map(str::as_bytes);
    let hash = digest(kind_and_creator.into_iter().chain([name]).chain(members));
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

/// A SHA-256 over pieces, each behind its length.
fn digest<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update((piece.len() as u64).to_be_bytes());
        hash.update(piece);
    }
    hash.finalize().into()
}

fn named(prefix: &str, bytes: &[u8]) -> Result<RoomId, ServiceError> {
    let text = data_encoding::BASE32_NOPAD.encode(bytes).to_lowercase();
    // A prefix and at most 52 letters and digits are a name.
    RoomId::new(format!("{prefix}{text}")).map_err(|_| ServiceError::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[test]
    fn the_room_of_two_is_the_same_for_both_and_no_others() {
        let room = of_pair(&user("alice"), &user("bob")).unwrap();
        assert_eq!(of_pair(&user("bob"), &user("alice")), Ok(room.clone()));
        assert_ne!(of_pair(&user("aliceb"), &user("ob")), Ok(room.clone()));
        assert_ne!(of_pair(&user("alice"), &user("alice")), Ok(room.clone()));
        let known = "dm.h7xucsaqkg2qa56tsymgu3qqwuejhmi4fl2ld3oi3s6z5rutrffa";
        assert_eq!(room.as_str(), known, "clients may compute it too");
    }

    #[test]
    fn ids_of_direct_rooms_cannot_be_asked_for() {
        assert!(check_asked(&RoomId::new("dm.x").unwrap()).is_err());
        assert!(check_asked(&RoomId::new("dmx").unwrap()).is_ok());
    }

    #[test]
    fn a_creation_is_the_same_only_with_the_same_content() {
        let of = |kind, creator: &str, name, members: &[&str]| {
            let members: Vec<_> = members.iter().map(|name| user(name)).collect();
            fingerprint(kind, &user(creator), name, &members)
        };
        let first = of(RoomKind::Private, "a", Some("n"), &["a", "b"]);
        assert_eq!(of(RoomKind::Private, "a", Some("n"), &["b", "a"]), first);
        assert_ne!(of(RoomKind::Private, "a", None, &["a", "b"]), first);
        assert_ne!(of(RoomKind::Private, "a", Some("n"), &["a"]), first);
        assert_ne!(of(RoomKind::Private, "b", Some("n"), &["a", "b"]), first);
        assert_ne!(of(RoomKind::Open, "a", Some("n"), &["a", "b"]), first);
        let ours = of(RoomKind::Direct, "a", None, &["a", "b"]);
        assert_eq!(of(RoomKind::Direct, "b", None, &["b", "a"]), ours);
    }
}
