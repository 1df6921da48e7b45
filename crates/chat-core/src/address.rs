//! Addresses of stores and brokers as logs and messages may show them.

/// An address with user, password and parameters taken out: those before its `@`, and those behind
/// its `?`. Shows that there is something that it does not show.
///
/// People forget to escape what is in a password, so wherever its ends are not certain nothing but
/// the scheme is left. A text that is no address and has no `@` is shown as it is.
///
/// ```
/// use chat_core::without_secrets;
///
/// let address = "postgres://joe:s3cr/t@10.0.0.6:5432/chat?password=s3cret";
/// assert_eq!(without_secrets(address), "postgres://…@10.0.0.6:5432/chat?…");
/// ```
#[must_use]
pub fn without_secrets(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None if address.contains('@') => (String::new(), address),
        None => return address.to_owned(),
    };
    let at = rest.rfind('@');
    let (host, parameters) = match (at, rest.find('?')) {
        // Either the password holds a `?` or a parameter an `@`, and there is no telling which.
        (Some(at), Some(question)) if at > question => return format!("{scheme}…"),
        (_, Some(question)) => (&rest[..question], "?…"),
        (_, None) => (rest, ""),
    };
    match at {
        Some(at) => format!("{scheme}…@{}{parameters}", &host[at + 1..]),
        None => format!("{scheme}{host}{parameters}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_taken_out_and_the_rest_is_shown() {
        for (address, shown) in [
            ("redis://10.0.0.5:6379/2", "redis://10.0.0.5:6379/2"),
            ("redis://:pw@10.0.0.5", "redis://…@10.0.0.5"),
            ("redis://joe:p@w@10.0.0.5:6379", "redis://…@10.0.0.5:6379"),
            ("redis://joe:p/w#x@h:6379", "redis://…@h:6379"),
            ("rediss://h/#insecure", "rediss://h/#insecure"),
            (
                "unix:///run/redis.sock?db=1&pass=pw",
                "unix:///run/redis.sock?…",
            ),
            ("postgres://h/d?user=joe&password=pw", "postgres://h/d?…"),
            ("postgres://joe:pw@h/d?password=p", "postgres://…@h/d?…"),
            ("postgres://h/d?password=p@w", "postgres://…"),
            ("postgres://joe:p?w@h/d", "postgres://…"),
            (":pw@10.0.0.5:6379", "…@10.0.0.5:6379"),
            ("data/chat.db", "data/chat.db"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(address), shown, "{address}");
        }
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            /// Whatever is in it: passwords are capital letters here, and nothing else is.
            #[test]
            fn no_piece_of_a_password_is_shown(
                before in "[A-Z@?/:#]{1,8}",
                behind in proptest::option::of("[A-Z@?/:#]{1,8}"),
            ) {
                let parameters = behind.map(|password| format!("?password={password}"));
                let parameters = parameters.unwrap_or_default();
                let address = format!("postgres://joe:{before}@host/chat{parameters}");
                let shown = without_secrets(&address);
                prop_assert!(!shown.contains(|c: char| c.is_ascii_uppercase()), "{}", shown);
            }
        }
    }
}
