//! One value out of the query of a URL.

/// The first value of a name, its escapes resolved. Nothing if there is none, or if it is no
/// UTF-8.
pub(crate) fn value(query: &str, name: &str) -> Option<String> {
    let (_, value) = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)?;
    String::from_utf8(unescaped(value.as_bytes())).ok()
}

/// What is no escape stays as it is: names have a narrow alphabet, so it is refused later.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match after {
            [high, low, ..] if first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            out.push(high << 4 | low);
            rest = &after[2..];
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_value_and_resolves_its_escapes() {
        assert_eq!(value("user=alice", "user").as_deref(), Some("alice"));
        assert_eq!(
            value("a=b&user=x%3ay%40z", "user").as_deref(),
            Some("x:y@z")
        );
        assert_eq!(value("users=bob", "user"), None);
        assert_eq!(value("user", "user"), None);
    }

    #[test]
    fn broken_escapes_neither_panic_nor_vanish() {
        assert_eq!(value("user=%", "user").as_deref(), Some("%"));
        assert_eq!(value("user=%4", "user").as_deref(), Some("%4"));
        assert_eq!(value("user=%zz", "user").as_deref(), Some("%zz"));
        assert_eq!(value("user=%ff", "user"), None);
    }
}
