//! Text that both databases keep as it is: PostgreSQL takes no U+0000, and SQLite's JSON functions
//! cut a text off at it.
//!
//! U+0000 becomes U+0001 `0`, and U+0001 becomes U+0001 `1`; all else stays. Rejected: to drop it,
//! because then what a client reads later is not what it was sent.

use std::borrow::Cow;

const ESCAPE: char = '\u{1}';

/// As it is stored.
pub(crate) fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match char {
            '\0' => out.extend([ESCAPE, '0']),
            ESCAPE => out.extend([ESCAPE, '1']),
            char => out.push(char),
        }
    }
    Cow::Owned(out)
}

/// As it was before it was stored.
pub(crate) fn loaded(text: String) -> String {
    if !text.contains(ESCAPE) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            ESCAPE if chars.next() == Some('0') => out.push('\0'),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_and_nothing_stored_has_a_zero(text in "[\0\u{1}01a-c]{0,12}|.{0,40}") {
            let kept = stored(&text);
            prop_assert!(!kept.contains('\0'));
            prop_assert_eq!(loaded(kept.into_owned()), text);
        }
    }
}
