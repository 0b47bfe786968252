//! What workers say, on its way to the one process that writes to the terminal.
//!
//! Each message is one line of at most 512 bytes, which POSIX's `PIPE_BUF` makes
//! one indivisible write on every system: lines of different workers never mix.

use std::cell::Cell;
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The longest line, its end included.
const LINE_BYTES: usize = 512;

/// A line that says something to people.
const TEXT: u8 = b'L';
/// A line that says that a worker accepts connections.
const READY: u8 = b'R';

/// The end of the log pipe that a worker writes to.
#[derive(Debug)]
pub(crate) struct Log {
    pipe: Option<OwnedFd>,
    name: String,
    lost: Cell<u64>,
}

impl Log {
    /// Logs to a pipe whose write end does not block, as the worker of that index.
    pub(crate) fn new(pipe: OwnedFd, worker: usize) -> Self {
        Self {
            pipe: Some(pipe),
            name: format!("worker {worker}"),
            lost: Cell::new(0),
        }
    }

    /// Logs nowhere.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self {
            pipe: None,
            name: String::new(),
            lost: Cell::new(0),
        }
    }

    /// Tells the supervisor that this worker accepts connections.
    pub(crate) fn ready(&self, worker: usize) {
        self.write(READY, &worker.to_string());
    }

    /// Logs one line.
    ///
    /// It never blocks: when the supervisor does not keep up, the line is dropped,
    /// and the next one that fits says how many were.
    pub(crate) fn line(&self, text: impl Display) {
        let lost = self.lost.get();
        let line = if lost == 0 {
            format!("{}: {text}", self.name)
        } else {
            format!("{}: ({lost} lines lost) {text}", self.name)
        };
        if self.write(TEXT, &line) {
            self.lost.set(0);
        } else {
            self.lost.set(lost.saturating_add(1));
        }
    }

    fn write(&self, kind: u8, text: &str) -> bool {
        let mut line = Vec::with_capacity(LINE_BYTES);
        line.push(kind);
        for char in text.chars() {
            if line.len() + char.len_utf8() >= LINE_BYTES {
                break;
            }
            let clean = if char.is_control() { '?' } else { char };
            line.extend_from_slice(clean.encode_utf8(&mut [0; 4]).as_bytes());
        }
        line.push(b'\n');
        self.pipe
            .as_ref()
            .is_some_and(|pipe| rustix::io::write(pipe, &line) == Ok(line.len()))
    }
}

/// What a worker said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// That the worker of this index accepts connections.
    Ready(usize),
    /// A line for people.
    Text(String),
}

/// Finds messages in what comes out of the log pipe, in whatever pieces.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    partial: Vec<u8>,
}

impl Messages {
    /// Takes the next bytes and gives the messages that they complete.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if let Some(line) = self.partial.strip_suffix(b"\n") {
                messages.extend(message(line));
                self.partial.clear();
            }
        }
        messages
    }
}

fn message(line: &[u8]) -> Option<Message> {
    let (&kind, text) = line.split_first()?;
    let text = String::from_utf8_lossy(text);
    match kind {
        READY => text.parse().ok().map(Message::Ready),
        TEXT => Some(Message::Text(text.into_owned())),
        _ => None,
    }
}

/// Lets one line through in a second, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    last: Option<Instant>,
    suppressed: u64,
}

impl RateLimit {
    const PERIOD: Duration = Duration::from_secs(1);

    /// Whether a line may be logged now, and how many were held back before it.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        let recent = self
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < Self::PERIOD);
        if recent {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    fn pipe() -> (OwnedFd, OwnedFd) {
        pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap()
    }

    fn read(pipe: &OwnedFd) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let count = rustix::io::read(pipe, &mut bytes).unwrap();
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn lines_come_out_as_messages_in_whatever_pieces() {
        let (from, to) = pipe();
        let log = Log::new(to, 3);
        log.ready(3);
        log.line("a\r\nb");
        let bytes = read(&from);
        let expected = [
            Message::Ready(3),
            Message::Text("worker 3: a??b".to_owned()),
        ];
        assert_eq!(Messages::default().take(&bytes), expected);
        let mut messages = Messages::default();
        let pieces: Vec<_> = bytes
            .chunks(1)
            .flat_map(|byte| messages.take(byte))
            .collect();
        assert_eq!(pieces, expected);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let (from, to) = pipe();
        Log::new(to, 0).line("ü".repeat(1000));
        let bytes = read(&from);
        assert!(bytes.len() <= LINE_BYTES && bytes.len() > LINE_BYTES - 2);
        assert!(std::str::from_utf8(&bytes).is_ok());
    }

    #[test]
    fn a_full_pipe_drops_lines_and_says_so() {
        let (from, to) = pipe();
        let log = Log::new(to, 0);
        while log.lost.get() < 3 {
            log.line("x".repeat(400));
        }
        read(&from);
        log.line("y");
        assert_eq!(read(&from), b"Lworker 0: (3 lines lost) y\n");
    }

    #[test]
    fn noise_is_no_message() {
        assert_eq!(Messages::default().take(b"\n\nXx\nRx\nR-1\n"), []);
    }

    #[test]
    fn admits_one_in_a_second() {
        let start = Instant::now();
        let mut limit = RateLimit::default();
        assert_eq!(limit.admit(start), Some(0));
        assert_eq!(limit.admit(start + Duration::from_millis(1)), None);
        assert_eq!(limit.admit(start + Duration::from_millis(999)), None);
        assert_eq!(limit.admit(start + Duration::from_secs(1)), Some(2));
        assert_eq!(limit.admit(start + Duration::from_secs(3)), Some(0));
    }
}
