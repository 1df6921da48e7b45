//! One plain HTTP request over a socket of its own, so that the server's answer is seen as it is
//! and not as a client library understands it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The body, as it came.
    pub body: String,
    head: String,
}

impl HttpAnswer {
    /// A header's value; `None` if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Asks once and reads to the end.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str) -> std::io::Result<HttpAnswer> {
    let mut socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(HttpAnswer {
        status: status.unwrap_or_else(|| panic!("{text:?} is no answer")),
        body: body.to_owned(),
        head: head.to_owned(),
    })
}
