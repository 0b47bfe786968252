//! A client that speaks the protocol byte by byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::server::WATCHDOG;

/// A connection on which nothing waits for ever.
pub(crate) enum Client {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, WATCHDOG).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        stream.set_write_timeout(Some(WATCHDOG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::Tcp(stream)
    }

    pub(crate) fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        stream.set_write_timeout(Some(WATCHDOG)).unwrap();
        Self::Unix(stream)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes.as_ref()),
            Self::Unix(stream) => stream.write_all(bytes.as_ref()),
        }
        .unwrap();
    }

    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
        }
    }

    /// Reads as many bytes as these, and they must be these.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let found = self.take(expected.len());
        assert_eq!(
            found.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }

    /// Sends a request and reads its reply, which must be this.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        self.send(request);
        self.expect(expected);
    }

    #[track_caller]
    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            let count = self.read(&mut bytes[filled..]).unwrap();
            assert_ne!(
                count,
                0,
                "closed after {:?}",
                bytes[..filled].escape_ascii()
            );
            filled += count;
        }
        bytes
    }

    /// Reads one line, and gives it without its end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.take(1));
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).unwrap()
    }

    /// Sends a request and reads a bulk string.
    #[track_caller]
    pub(crate) fn text(&mut self, request: &str) -> String {
        self.send(request);
        let header = self.line();
        let len = header.trim_start_matches(['$', '=']).parse().unwrap();
        let text = String::from_utf8(self.take(len)).unwrap();
        self.expect("\r\n");
        text
    }

    /// One field of what `INFO` says.
    #[track_caller]
    pub(crate) fn info(&mut self, field: &str) -> u64 {
        let info = self.text("INFO\r\n");
        let value = info
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap().parse().unwrap()
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end(&mut self) {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
        .unwrap();
    }

    /// Reads until the server closes the connection, and gives what came before.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            match self.read(&mut bytes) {
                Ok(0) => return rest,
                Ok(count) => rest.extend(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return rest,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
