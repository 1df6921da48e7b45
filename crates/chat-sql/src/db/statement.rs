//! Statements in both dialects, and the rows that one statement takes as its parameters.
//!
//! A statement over rows begins with `WITH given (…)`: on SQLite a JSON array of arrays that
//! `json_each` unfolds, and beside it one blob with all binary columns, cut by offset; on PostgreSQL
//! an array per column, unfolded by `UNNEST`. What follows is the same text for both.

use std::fmt::Write as _;
use std::sync::Arc;

/// A value that a statement is given.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Int(Option<i64>),
    Text(String),
    OptionalText(Option<String>),
    Bytes(Vec<u8>),
    /// The store's time, see [`Statement`].
    Now,
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Blobs(Vec<Option<Vec<u8>>>),
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// What a column of `given` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Int,
    Text,
    /// Never null.
    Blob,
}

/// Name and type of a column of `given`.
pub(crate) type Column = (&'static str, Type);

/// Shorthand for columns.
pub(crate) const fn int(name: &'static str) -> Column {
    (name, Type::Int)
}

/// Shorthand for columns.
pub(crate) const fn text(name: &'static str) -> Column {
    (name, Type::Text)
}

/// Shorthand for columns.
pub(crate) const fn blob(name: &'static str) -> Column {
    (name, Type::Blob)
}

/// One statement in both dialects. In its text `{0}`, `{1}` … stand for its parameters, and
/// `{now 0}` for a parameter that is [`Arg::Now`]: SQLite is given the time, PostgreSQL takes its own.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) sqlite: Arc<str>,
    pub(crate) postgres: Arc<str>,
}

/// PostgreSQL's clock as we count it; not its transaction's, which stands still.
const POSTGRES_NOW: &str = "floor(extract(epoch from clock_timestamp()) * 1000)::bigint";

impl Statement {
    /// The same text for both.
    pub(crate) fn new(text: &str) -> Self {
        Self::differing(text, text)
    }

    /// A text for each.
    pub(crate) fn differing(sqlite: &str, postgres: &str) -> Self {
        Self {
            sqlite: number(sqlite, 1, |n| format!("${n}")).into(),
            postgres: number(postgres, 1, postgres_now).into(),
        }
    }

    /// One over rows with these columns, in the order in which [`Rows`] is filled. Its own parameters
    /// come behind the rows.
    pub(crate) fn over(columns: &[Column], text: &str) -> Self {
        Self::over_differing(columns, text, text)
    }

    /// The same with a text for each.
    pub(crate) fn over_differing(columns: &[Column], sqlite: &str, postgres: &str) -> Self {
        let names = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let names = names.join(", ");
        let has_blob = columns.iter().any(|(_, kind)| *kind == Type::Blob);
        let sqlite = format!(
            "WITH given ({names}) AS ({}) {sqlite}",
            unfold_json(columns)
        );
        let postgres = format!("WITH given ({names}) AS ({}) {postgres}", unnest(columns));
        Self {
            sqlite: number(&sqlite, 2 + usize::from(has_blob), |n| format!("${n}")).into(),
            postgres: number(&postgres, 1 + columns.len(), postgres_now).into(),
        }
    }
}

fn postgres_now(n: usize) -> String {
    format!("coalesce(${n}::bigint, {POSTGRES_NOW})")
}

/// Replaces the placeholders, numbered from `first`.
fn number(text: &str, first: usize, now: impl Fn(usize) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (placeholder, behind) = behind.split_once('}').unwrap_or((behind, ""));
        let (is_now, digits) = match placeholder.strip_prefix("now ") {
            Some(digits) => (true, digits),
            None => (false, placeholder),
        };
        let n = first + digits.parse::<usize>().unwrap_or_default();
        out.push_str(before);
        out.push_str(&if is_now { now(n) } else { format!("${n}") });
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn unfold_json(columns: &[Column]) -> String {
    let mut place = 0;
    let mut picks = Vec::with_capacity(columns.len());
    for (_, kind) in columns {
        if *kind == Type::Blob {
            picks.push(format!(
                "substr($2, value->>{place}, value->>{})",
                place + 1
            ));
            place += 2;
        } else {
            picks.push(format!("value->>{place}"));
            place += 1;
        }
    }
    format!("SELECT {} FROM json_each($1)", picks.join(", "))
}

fn unnest(columns: &[Column]) -> String {
    let mut out = "SELECT * FROM UNNEST(".to_owned();
    for (at, (_, kind)) in columns.iter().enumerate() {
        let name = match kind {
            Type::Int => "bigint",
            Type::Text => "text",
            Type::Blob => "bytea",
        };
        let comma = if at == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(out, "{comma}${}::{name}[]", at + 1);
    }
    out + ")"
}

/// The rows of a statement, column by column.
#[derive(Debug)]
pub(crate) struct Rows {
    columns: Vec<Arg>,
    /// The column that the next value goes to.
    next: usize,
    len: usize,
}

impl Rows {
    pub(crate) fn new(columns: &[Column]) -> Self {
        let empty = |(_, kind): &Column| match kind {
            Type::Int => Arg::Ints(Vec::new()),
            Type::Text => Arg::Texts(Vec::new()),
            Type::Blob => Arg::Blobs(Vec::new()),
        };
        Self {
            columns: columns.iter().map(empty).collect(),
            next: 0,
            len: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn int(&mut self, value: impl Into<Option<i64>>) -> &mut Self {
        if let Arg::Ints(column) = self.advance() {
            column.push(value.into());
        }
        self
    }

    pub(crate) fn text(&mut self, value: impl Into<Option<String>>) -> &mut Self {
        if let Arg::Texts(column) = self.advance() {
            column.push(value.into());
        }
        self
    }

    pub(crate) fn name(&mut self, value: &str) -> &mut Self {
        self.text(value.to_owned())
    }

    pub(crate) fn blob(&mut self, value: &[u8]) -> &mut Self {
        if let Arg::Blobs(column) = self.advance() {
            column.push(Some(value.to_vec()));
        }
        self
    }

    fn advance(&mut self) -> &mut Arg {
        let at = self.next;
        self.next = (at + 1) % self.columns.len();
        self.len += usize::from(self.next == 0);
        &mut self.columns[at]
    }

    /// As PostgreSQL takes them.
    pub(crate) fn into_arrays(self) -> Vec<Arg> {
        debug_assert_eq!(self.next, 0, "the last row is whole");
        self.columns
    }

    /// As SQLite takes them.
    pub(crate) fn into_json(self) -> Vec<Arg> {
        debug_assert_eq!(self.next, 0, "the last row is whole");
        let mut json = String::with_capacity(self.len * self.columns.len() * 16);
        let mut bytes = Vec::new();
        json.push('[');
        for row in 0..self.len {
            json.push_str(if row == 0 { "[" } else { ",[" });
            for (at, column) in self.columns.iter().enumerate() {
                if at > 0 {
                    json.push(',');
                }
                put_json(&mut json, &mut bytes, column, row);
            }
            json.push(']');
        }
        json.push(']');
        let mut args = vec![Arg::Text(json)];
        if self.columns.iter().any(|it| matches!(it, Arg::Blobs(_))) {
            args.push(Arg::Bytes(bytes));
        }
        args
    }
}

fn put_json(json: &mut String, bytes: &mut Vec<u8>, column: &Arg, row: usize) {
    match column {
        Arg::Ints(values) => match values[row] {
            // Writing to a string does not fail.
            Some(value) => drop(write!(json, "{value}")),
            None => json.push_str("null"),
        },
        Arg::Texts(values) => match &values[row] {
            Some(value) => json.push_str(&quoted(value)),
            None => json.push_str("null"),
        },
        Arg::Blobs(values) => {
            let value = values[row].as_deref().unwrap_or_default();
            // SQL counts from 1.
            let _ = write!(json, "{},{}", bytes.len() + 1, value.len());
            bytes.extend_from_slice(value);
        }
        Arg::Int(_) | Arg::Text(_) | Arg::OptionalText(_) | Arg::Bytes(_) | Arg::Now => {
            debug_assert!(false, "a column is an array");
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text always has a JSON form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_number_their_parameters_behind_the_rows() {
        let statement = Statement::over(&[text("a"), blob("b"), int("c")], "SELECT {0}, {now 1}");
        assert_eq!(
            &*statement.sqlite,
            "WITH given (a, b, c) AS (SELECT value->>0, substr($2, value->>1, value->>2), value->>3 \
             FROM json_each($1)) SELECT $3, $4"
        );
        let postgres = &*statement.postgres;
        assert!(postgres.contains("UNNEST($1::text[], $2::bytea[], $3::bigint[])"));
        assert!(
            postgres.contains("SELECT $4, coalesce($5::bigint, "),
            "{postgres}"
        );
    }

    #[test]
    fn rows_become_json_and_one_blob() {
        let mut rows = Rows::new(&[text("a"), blob("b"), int("c")]);
        rows.name("x\"y").blob(b"one").int(-1);
        rows.text(None).blob(b"two!").int(None);
        assert_eq!(rows.len, 2);
        let [Arg::Text(json), Arg::Bytes(bytes)] = &rows.into_json()[..] else {
            panic!("a text and a blob");
        };
        assert_eq!(json, r#"[["x\"y",1,3,-1],[null,4,4,null]]"#);
        assert_eq!(bytes, b"onetwo!");
    }
}
