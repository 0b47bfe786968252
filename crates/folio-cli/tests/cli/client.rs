//! A client that speaks the protocol byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::process::WATCHDOG;

/// A connection on which nothing waits for ever.
pub(crate) struct Client {
    input: BufReader<Box<dyn Read + Send>>,
    output: Box<dyn Write + Send>,
}

impl Client {
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, WATCHDOG).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        stream.set_write_timeout(Some(WATCHDOG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            output: Box::new(stream.try_clone().unwrap()),
            input: BufReader::new(Box::new(stream)),
        }
    }

    pub(crate) fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        stream.set_write_timeout(Some(WATCHDOG)).unwrap();
        Self {
            output: Box::new(stream.try_clone().unwrap()),
            input: BufReader::new(Box::new(stream)),
        }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, request: impl AsRef<[u8]>) {
        self.output.write_all(request.as_ref()).unwrap();
    }

    /// Sends a request line; the reply must be this.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: &str, expected: &str) {
        self.send(format!("{request}\r\n"));
        self.expect(expected.as_bytes());
    }

    /// Reads as many bytes as these, and they must be these.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &[u8]) {
        let mut found = vec![0; expected.len()];
        self.input.read_exact(&mut found).unwrap();
        // As text only where they differ: it takes long.
        if found != expected {
            assert_eq!(
                found.escape_ascii().to_string(),
                expected.escape_ascii().to_string()
            );
        }
    }

    /// Reads one line, and gives it without its end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.input.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").unwrap().to_owned()
    }

    /// Sends a request line, and reads a bulk string as text.
    #[track_caller]
    pub(crate) fn text(&mut self, request: &str) -> String {
        self.send(format!("{request}\r\n"));
        let header = self.line();
        let len = header.strip_prefix('$').unwrap().parse().unwrap();
        let mut bytes = vec![0; len];
        self.input.read_exact(&mut bytes).unwrap();
        self.expect(b"\r\n");
        String::from_utf8(bytes).unwrap()
    }

    /// The process that answers this connection.
    #[track_caller]
    pub(crate) fn worker_pid(&mut self) -> u32 {
        let info = self.text("INFO folio");
        let pid = info.lines().find_map(|line| line.strip_prefix("pid:"));
        pid.unwrap().parse().unwrap()
    }
}
