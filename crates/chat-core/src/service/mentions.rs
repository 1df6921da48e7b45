//! Who a text may mention: `@` and a user id, where a word begins. Pure; whether he is a member is
//! the directory's to say.

use crate::ids::UserId;
use crate::limits::{MENTIONS_MAX, NAME_CHARS_MAX};

/// Whom a text names, each place with the ids that it may mean, the likelier first: `@bob.` is
/// `bob.` where there is one, else `bob`. Places beyond the limit are not looked at.
pub(super) fn named_in(text: &str) -> Vec<Vec<UserId>> {
    let mut places: Vec<Vec<UserId>> = Vec::new();
    let mut rest = 0;
    while let Some(found) = text[rest..].find('@') {
        let at = rest + found;
        let run = run_at(&text[at + 1..]);
        // Behind a run nothing of it is looked at again: an id may have an `@` of its own.
        rest = at + 1 + run.len();
        let before = text[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || before == '_') {
            // An address of mail, not of a person here.
            continue;
        }
        let ids = ids_of(run);
        if ids.is_empty() || places.contains(&ids) {
            continue;
        }
        if places.len() == MENTIONS_MAX {
            break;
        }
        places.push(ids);
    }
    places
}

fn run_at(text: &str) -> &str {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte);
    let end = text.bytes().position(|byte| !is_name(byte));
    &text[..end.unwrap_or(text.len())]
}

fn ids_of(run: &str) -> Vec<UserId> {
    let bare = run.trim_end_matches(['-', '_', '.', ':', '@']);
    let long = [run, bare]
        .into_iter()
        .filter(|id| id.len() <= NAME_CHARS_MAX);
    let mut ids: Vec<_> = long.filter_map(|id| UserId::new(id).ok()).collect();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let joined = |ids: Vec<UserId>| {
            let ids: Vec<_> = ids.iter().map(UserId::as_str).collect();
            ids.join("|")
        };
        named_in(text).into_iter().map(joined).collect()
    }

    #[test]
    fn finds_users_where_a_word_begins() {
        assert_eq!(named("@bob hi"), ["bob"]);
        assert_eq!(named("hi (@bob)"), ["bob"]);
        assert_eq!(named("hi @bob, @eve.m and @bob"), ["bob", "eve.m"]);
        assert_eq!(named("write to bob@example.org"), [""; 0]);
        assert_eq!(named("é@bob ツ@bob _@bob"), [""; 0]);
        assert_eq!(named("no one @ all @"), [""; 0]);
    }

    #[test]
    fn punctuation_at_the_end_may_belong_to_the_sentence() {
        assert_eq!(named("ask @bob."), ["bob.|bob"]);
        assert_eq!(named("@bob: hello"), ["bob:|bob"]);
        assert_eq!(named("@eve@example.org!"), ["eve@example.org"]);
        assert_eq!(named("@..."), ["..."]);
    }

    #[test]
    fn looks_at_so_many_places_and_no_more() {
        let many: String = (0..200).map(|n| format!("@u{n} ")).collect();
        assert_eq!(named(&many).len(), MENTIONS_MAX);
        assert_eq!(named(&"@".repeat(8_000)), [""; 0]);
        assert_eq!(named(&format!("@{}", "a".repeat(129))), [""; 0]);
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn any_text_names_at_most_so_many_and_only_what_it_has(text in any::<String>()) {
                let places = named_in(&text);
                prop_assert!(places.len() <= MENTIONS_MAX);
                for id in places.iter().flatten() {
                    let named = format!("@{id}");
                    prop_assert!(text.contains(&named));
                }
            }

            #[test]
            fn a_user_named_alone_is_found(id in "[a-z0-9][a-z0-9_.:@-]{0,20}") {
                let places = named_in(&format!("hello @{id} !"));
                prop_assert_eq!(places.len(), 1);
                prop_assert_eq!(places[0][0].as_str(), id);
            }
        }
    }
}
