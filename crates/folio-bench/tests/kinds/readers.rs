//! Three who read a thing: folio, `cat`, and memmap2.

use std::error::Error as _;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use folio::{Error, Kind, Source};

use crate::things::{self, Handle};
use crate::{Case, Event, child};

/// What somebody who read a thing came away with.
pub(crate) struct Report {
    pub(crate) bytes: Vec<u8>,
    /// Why there are no more bytes, unless it is that they ended.
    pub(crate) end: Option<String>,
}

impl Report {
    pub(crate) fn error(text: impl Into<String>) -> Self {
        Self {
            bytes: Vec::new(),
            end: Some(text.into()),
        }
    }
}

/// The kind that folio chose, why, and what it read.
pub(crate) fn by_folio(case: &Case) -> (String, String, Report) {
    let thing = (case.make)();
    let path = thing.path().to_owned();
    let mut kept = None;
    let opened = match &thing.handle {
        Handle::Path(path) => Source::open(path),
        Handle::Descriptor(_) => {
            let (fd, others) = thing.into_descriptor();
            kept = Some(others);
            Source::from_fd(fd)
        }
    };
    let mut source = match opened {
        Ok(source) => source,
        Err(error) => return ("an error".into(), why(&error), Report::error("")),
    };
    match case.event {
        Event::Nothing => {}
        Event::Grows => {
            things::append(&path);
            source = source
                .wait_for_len(source.len().unwrap() + 1, None)
                .unwrap();
        }
        Event::Shrinks => things::cut(&path),
    }
    let kind = match source.kind() {
        Kind::Mapped => "mapped",
        Kind::Windowed => "windowed",
        Kind::Positioned => "pread",
        Kind::Stream => "stream",
        other => panic!("{other:?}"),
    };
    let reason = source.reason().to_string();
    let report = match source.len() {
        Some(len) => pieces(&source, case, len),
        None => in_order(&source, case),
    };
    drop(kept);
    (kind.into(), reason, report)
}

/// Reads in pieces that are aligned to nothing, as far as it goes.
fn pieces(source: &Source, case: &Case, len: u64) -> Report {
    let mut bytes = Vec::new();
    let mut piece = [0; 1001];
    let mut offset = case.from;
    while offset < len && bytes.len() < case.most {
        match source.read_at(offset, &mut piece) {
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(Error::Fault { offset, .. }) => {
                let end = Some(format!("fault at byte {offset}"));
                return Report { bytes, end };
            }
            Err(error) => return Report::error(why(&error)),
        }
        offset += piece.len() as u64;
    }
    bytes.truncate(case.most);
    Report { bytes, end: None }
}

fn in_order(source: &Source, case: &Case) -> Report {
    let mut bytes = Vec::new();
    let read = source
        .reader()
        .take(case.most as u64)
        .read_to_end(&mut bytes);
    match read {
        Ok(_) => Report { bytes, end: None },
        Err(error) => Report::error(error.to_string()),
    }
}

/// An error and its causes, without the name of what it is about.
fn why(error: &Error) -> String {
    let text = match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    match text.split_once(": ") {
        Some((_, rest)) => rest.to_owned(),
        None => text,
    }
}

/// What `cat` says of another such thing, after what happens to it has happened.
pub(crate) fn by_cat(case: &Case) -> Report {
    let thing = (case.make)();
    match case.event {
        Event::Nothing => {}
        Event::Grows => things::append(thing.path()),
        Event::Shrinks => things::cut(thing.path()),
    }
    let mut command = Command::new("cat");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let kept: Box<dyn std::any::Any> = match &thing.handle {
        Handle::Path(path) if case.from == 0 => {
            command.arg(path);
            Box::new(thing)
        }
        _ => {
            let (fd, kept) = thing.into_descriptor();
            let mut file = File::from(fd);
            if case.from > 0 {
                file.seek(SeekFrom::Start(case.from)).unwrap();
            }
            command.stdin(file);
            kept
        }
    };
    let mut cat = command.spawn().unwrap();
    drop(command);
    let mut bytes = Vec::new();
    let mut stdout = cat.stdout.take().unwrap();
    let read = stdout.by_ref().take(case.most as u64);
    let is_all = { read }.read_to_end(&mut bytes).unwrap() < case.most;
    // One that has more to say ends when nobody listens.
    drop(stdout);
    let output = cat.wait_with_output().unwrap();
    drop(kept);
    if is_all && !output.status.success() {
        let said = String::from_utf8(output.stderr).unwrap();
        return Report::error(said.trim().rsplit(": ").next().unwrap());
    }
    Report { bytes, end: None }
}

/// The test in which the peer reads, in a process of its own.
pub(crate) const PEER: &str = "what_memmap2_reads";

const EVENT: &str = "FOLIO_TEST_EVENT";
const PATH: &str = "FOLIO_TEST_PATH";
const FROM: &str = "FOLIO_TEST_FROM";
const OUT: &str = "FOLIO_TEST_OUT";

/// What memmap2 makes of another such thing.
pub(crate) fn by_memmap2(case: &Case) -> Report {
    let thing = (case.make)();
    let path = thing.path().to_owned();
    let out = tempfile::NamedTempFile::new().unwrap();
    let from = case.from.to_string();
    let event = match case.event {
        Event::Nothing => "",
        Event::Grows => "grows",
        Event::Shrinks => "shrinks",
    };
    let (fd, kept) = thing.into_descriptor();
    let variables = [
        (EVENT, OsStr::new(event)),
        (PATH, path.as_os_str()),
        (FROM, OsStr::new(&from)),
        (OUT, out.path().as_os_str()),
    ];
    let status = child::run(PEER, fd, &variables);
    drop(kept);
    if child::is_sigbus(status) {
        return Report::error("killed by SIGBUS");
    }
    let said = std::fs::read(&out).unwrap();
    match said.split_first() {
        Some((b'+', bytes)) => Report {
            bytes: bytes.to_vec(),
            end: None,
        },
        Some((b'-', error)) => Report::error(String::from_utf8(error.to_vec()).unwrap()),
        _ => panic!("the child said nothing"),
    }
}

/// In the child: maps standard input with memmap2, and says which bytes it has.
pub(crate) fn be_memmap2() {
    let variable = |name| std::env::var_os(name).unwrap();
    let file = File::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mapped = map(&file);
    match variable(EVENT).to_str().unwrap() {
        "grows" => things::append(variable(PATH).as_ref()),
        "shrinks" => things::cut(variable(PATH).as_ref()),
        _ => {}
    }
    let from: usize = variable(FROM).to_str().unwrap().parse().unwrap();
    let mut out = File::create(variable(OUT)).unwrap();
    match mapped {
        Ok(map) => {
            // Copied before it is written: a page that is lost is EFAULT to the system.
            let bytes = map.get(from..).unwrap_or_default().to_vec();
            out.write_all(b"+").unwrap();
            out.write_all(&bytes).unwrap();
        }
        Err(error) => write!(out, "-{error}").unwrap(),
    }
}

#[expect(
    unsafe_code,
    reason = "memmap2 asks for a promise that nobody can keep"
)]
fn map(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: it does not hold that nobody changes or cuts the file: what happens then is what
    // this process, which does nothing else, is here to show.
    unsafe { memmap2::Mmap::map(file) }
}
