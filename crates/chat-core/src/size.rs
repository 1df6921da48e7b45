//! About how many bytes things take on a client's wire, before any codec has seen them.
//!
//! Never much below what the codec that needs most makes of them: JSON writes a control character
//! as six bytes, so a limit that counted what is stored would let frames through that are six
//! times as large. Counting is cheap enough to be done for every delivery.

use crate::ids::UserId;
use crate::message::{Meta, Millis, Reactions};
use crate::presence::Occupant;
use crate::room::{Room, RoomChange};

/// Field names, ids, times and position of a small object.
pub(crate) const FRAME: usize = 256;

/// A text as JSON has it between its quotes.
pub(crate) fn escaped(text: &str) -> usize {
    // `\u0007` has six bytes, `\n` and `\"` two. Sums without branches: the compiler makes vector
    // code of them.
    let extra = |byte: &u8| match byte {
        b'\n' | b'\t' | b'"' | b'\\' => 1,
        0..0x20 => 5,
        _ => 0_usize,
    };
    text.len() + text.as_bytes().iter().map(extra).sum::<usize>()
}

pub(crate) fn optional(text: Option<&str>) -> usize {
    text.map_or(0, escaped)
}

/// A `meta` is JSON already; MessagePack takes nine bytes for a double that JSON writes in three.
pub(crate) fn meta(meta: Option<&Meta>) -> usize {
    let dots = |meta: &Meta| meta.bytes().filter(|byte| *byte == b'.').count();
    meta.map_or(0, |meta| meta.len() + 6 * dots(meta))
}

/// Names, each with its quotes and comma. They need no escapes.
pub(crate) fn names<'a>(names: impl IntoIterator<Item = &'a UserId>) -> usize {
    names.into_iter().map(|name| name.as_str().len() + 3).sum()
}

pub(crate) fn reactions(reactions: &Reactions) -> usize {
    let shown = crate::limits::REACTION_USERS_SHOWN;
    let one = |(emoji, users): (&crate::message::Emoji, &Vec<UserId>)| {
        escaped(emoji) + names(users.iter().take(shown)) + 40
    };
    reactions.iter().map(one).sum()
}

pub(crate) fn occupants(occupants: &[Occupant]) -> usize {
    let since = std::mem::size_of::<Millis>() + 32;
    names(occupants.iter().map(|occupant| &occupant.user)) + occupants.len() * since
}

pub(crate) fn room(room: &Room) -> usize {
    FRAME
        + room.id.as_str().len()
        + optional(room.name.as_deref())
        + optional(room.topic.as_deref())
}

pub(crate) fn room_change(change: &RoomChange) -> usize {
    let roles = names(change.roles.iter().map(|member| &member.user)) + change.roles.len() * 10;
    let members = names(&change.members_added) + names(&change.members_removed);
    optional(change.name.as_deref()) + optional(change.topic.as_deref()) + members + roles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_counts_what_json_makes_of_it() {
        assert_eq!(escaped("héllo"), 6);
        assert_eq!(escaped("\"\\\n\t"), 8);
        assert_eq!(escaped("\u{0}\u{1f}\r"), 18, "at least");
    }

    #[test]
    fn a_meta_counts_what_messagepack_makes_of_its_doubles() {
        let doubles = Meta::new(format!("{{\"a\":[{}0.5]}}", "0.5,".repeat(100))).unwrap();
        assert!(meta(Some(&doubles)) >= 9 * 101);
        assert_eq!(meta(None), 0);
    }
}
