//! Servers with other limits than usual, so that nobody has to wait for the usual ones.

use std::io::Write as _;

use chat_tests::ServerProcess;

/// A server as it is without any option.
pub(crate) fn server() -> ServerProcess {
    ServerProcess::start(&[])
}

/// A server whose configuration file has these lines under `[limits]`.
pub(crate) fn server_with_limits(lines: &str) -> ServerProcess {
    let mut file = tempfile::Builder::new()
        .suffix(".toml")
        .tempfile()
        .expect("a temporary file");
    write!(file, "[limits]\n{lines}\n").expect("a temporary file can be written");
    let path = file.path().to_str().expect("its path is text");
    // Read before the server listens, and not needed any more afterwards.
    ServerProcess::start(&["--config", path])
}

/// A number out of the server's metrics; 0 if it is not there yet.
pub(crate) fn metric(server: &ServerProcess, name: &str) -> f64 {
    let metrics = server.get("/metrics").body;
    let found = metrics.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(' ')?;
        Some(value.parse().expect("a metric is a number"))
    });
    found.unwrap_or(0.0)
}
