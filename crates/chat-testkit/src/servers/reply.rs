//! What a Redis answers, read whole: as much of its protocol as a test needs to look around.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of one string of an answer. More is not what a test asks for.
const STRING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// There is none.
    Nothing,
    /// A text, or a short word such as `OK`. Bytes that are none are replaced.
    Text(String),
    /// A number.
    Number(i64),
    /// The server refused, in its words.
    Refused(String),
    /// Several answers.
    List(Vec<Self>),
}

impl Reply {
    /// All texts and numbers in it, in their order.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Nothing | Self::Refused(_) => Vec::new(),
            Self::Text(text) => vec![text.clone()],
            Self::Number(number) => vec![number.to_string()],
            Self::List(list) => list.iter().flat_map(Self::texts).collect(),
        }
    }

    pub(super) async fn read(link: &mut (dyn AsyncRead + Unpin + Send)) -> io::Result<Self> {
        let line = read_line(link).await?;
        let Some((kind, rest)) = line.split_at_checked(1) else {
            return Err(garbled(&line));
        };
        let number = || rest.parse::<i64>().map_err(|_| garbled(&line));
        Ok(match kind {
            "+" => Self::Text(rest.to_owned()),
            "-" => Self::Refused(rest.to_owned()),
            ":" => Self::Number(number()?),
            "$" => match usize::try_from(number()?) {
                Err(_) => Self::Nothing,
                Ok(length) if length <= STRING_BYTES_MAX => {
                    let mut bytes = vec![0; length + 2];
                    link.read_exact(&mut bytes).await?;
                    bytes.truncate(length);
                    Self::Text(String::from_utf8_lossy(&bytes).into_owned())
                }
                Ok(_) => return Err(garbled(&line)),
            },
            "*" => match usize::try_from(number()?) {
                Err(_) => Self::Nothing,
                Ok(length) => {
                    let mut list = Vec::new();
                    for _ in 0..length {
                        list.push(Box::pin(Self::read(link)).await?);
                    }
                    Self::List(list)
                }
            },
            _ => return Err(garbled(&line)),
        })
    }
}

async fn read_line(link: &mut (dyn AsyncRead + Unpin + Send)) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(link.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn garbled(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an answer: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_of_every_kind_are_read_whole() {
        let mut bytes: &[u8] =
            b"*5\r\n+OK\r\n:-7\r\n$6\r\na\r\nb\r\n\r\n$-1\r\n*1\r\n-ERR no\r\n:1\r\n";
        let list = Reply::read(&mut bytes).await.unwrap();
        let expected = Reply::List(vec![
            Reply::Text("OK".to_owned()),
            Reply::Number(-7),
            Reply::Text("a\r\nb\r\n".to_owned()),
            Reply::Nothing,
            Reply::List(vec![Reply::Refused("ERR no".to_owned())]),
        ]);
        assert_eq!(list, expected);
        assert_eq!(list.texts(), ["OK", "-7", "a\r\nb\r\n"]);
        assert_eq!(Reply::read(&mut bytes).await.unwrap(), Reply::Number(1));
        assert!(Reply::read(&mut bytes).await.is_err(), "the end");
    }
}
