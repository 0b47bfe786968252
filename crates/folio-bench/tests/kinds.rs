//! The table of kinds: everything that can be opened, what folio makes of it, whether its bytes are
//! those that `cat` reads, and what memmap2 makes of it.
//!
//! ```sh
//! cargo test -p folio-bench --test kinds -- --nocapture
//! ```
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod child;
#[path = "kinds/readers.rs"]
mod readers;
#[path = "kinds/things.rs"]
mod things;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use readers::{PEER, Report, by_cat, by_folio, by_memmap2};
use things::Thing;

/// A thing to open, and what everybody is expected to make of it.
struct Case {
    name: String,
    /// Makes one more of it.
    make: Box<dyn Fn() -> Thing + Send>,
    event: Event,
    /// Which bytes are compared: from this one on, so many.
    from: u64,
    most: usize,
    expected: Row,
}

/// What happens to a thing between opening and reading.
#[derive(Clone, Copy)]
enum Event {
    Nothing,
    Grows,
    Shrinks,
}

/// What is printed of a thing.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    kind: String,
    reason: String,
    bytes: String,
    peer: String,
}

const SAME: &str = "same";
/// What memmap2 is told of whatever cannot be mapped.
const NO_DEVICE: &str = "error: No such device (os error 19)";
const MAPPABLE: [&str; 4] = ["mapped", "it can be mapped whole", SAME, SAME];
const STREAM: [&str; 4] = [
    "stream",
    "it has no random access: pread refused",
    SAME,
    NO_DEVICE,
];

impl Case {
    fn new(
        name: impl Into<String>,
        make: impl Fn() -> Thing + Send + 'static,
        expected: [&str; 4],
    ) -> Self {
        let [kind, reason, bytes, peer] = expected.map(str::to_owned);
        Self {
            name: name.into(),
            make: Box::new(make),
            event: Event::Nothing,
            from: 0,
            most: 1 << 20,
            expected: Row {
                kind,
                reason,
                bytes,
                peer,
            },
        }
    }

    fn event(mut self, event: Event) -> Self {
        self.event = event;
        self
    }

    fn from(mut self, offset: u64) -> Self {
        self.from = offset;
        self
    }

    fn run(&self) -> Row {
        let cat = by_cat(self);
        let (kind, reason, folio) = by_folio(self);
        Row {
            kind,
            reason,
            bytes: compare(&folio, &cat),
            peer: compare(&by_memmap2(self), &cat),
        }
    }
}

/// What somebody read, beside what `cat` read.
fn compare(report: &Report, cat: &Report) -> String {
    match (&report.end, &cat.end) {
        (Some(why), None) if report.bytes.is_empty() => format!("error: {why}"),
        (Some(why), Some(refused)) if why.is_empty() => format!("none; cat: {refused}"),
        (Some(why), Some(_)) => format!("error: {why}"),
        (None, Some(refused)) => format!("{} bytes; cat: {refused}", report.bytes.len()),
        (None, None) if report.bytes == cat.bytes => SAME.to_owned(),
        (None, None) => {
            let [has, should] = [&report.bytes, &cat.bytes].map(Vec::len);
            format!("WRONG: {has} bytes, not {should}")
        }
        (Some(why), None) => {
            // A mapping goes on to the end of the page that holds the file's: with zeros.
            let (there, lost) = report
                .bytes
                .split_at(cat.bytes.len().min(report.bytes.len()));
            assert!(there == cat.bytes && lost.iter().all(|&byte| byte == 0));
            format!("same, zeros to the page's end, {why}")
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases = files();
    cases.extend(streams());
    cases.extend(made_up());
    cases.extend(refused());
    cases
}

fn files() -> Vec<Case> {
    let temporary = std::env::temp_dir();
    let build = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let on = |folder: &'static Path, what: &str| {
        let name = format!("file on {} ({what})", things::file_system_of(folder));
        Case::new(name, move || things::on(folder), MAPPABLE)
    };
    let temporary: &'static Path = Box::leak(temporary.into_boxed_path());
    let fault = format!(
        "same, zeros to the page's end, fault at byte {}",
        2 * things::page()
    );
    let shrinks = [
        "mapped",
        "it can be mapped whole",
        &fault,
        "error: killed by SIGBUS",
    ];
    let stale = format!(
        "WRONG: {} bytes, not {}",
        things::content().len(),
        things::content().len() + 13
    );
    let grows = ["mapped", "it can be mapped whole", SAME, &stale];
    vec![
        Case::new("regular file", things::regular, MAPPABLE),
        on(temporary, "temporary files"),
        on(build, "build folder"),
        on(Path::new("/dev/shm"), "/dev/shm"),
        Case::new(
            "empty file",
            things::empty,
            [
                "mapped",
                "it is empty, so there is nothing to map",
                SAME,
                SAME,
            ],
        ),
        Case::new("sparse file", things::sparse, MAPPABLE),
        Case::new("sparse file above 4 GiB", things::large, MAPPABLE).from(things::LARGE_FROM),
        Case::new("file that grows", things::regular, grows).event(Event::Grows),
        Case::new("file that shrinks", things::three_pages, shrinks).event(Event::Shrinks),
        Case::new("deleted file, still open", things::deleted, MAPPABLE),
        Case::new("memfd", things::memfd, MAPPABLE),
    ]
}

fn streams() -> Vec<Case> {
    // The system does map TCP sockets, for programs that receive without copying (`tcp(7)`).
    let wrong = format!("WRONG: 0 bytes, not {}", things::content().len());
    let tcp = [STREAM[0], STREAM[1], SAME, &wrong];
    vec![
        Case::new("FIFO", things::fifo, STREAM),
        Case::new("pipe", things::pipe, STREAM),
        Case::new("tty", things::tty, STREAM),
        Case::new("TCP socket", things::tcp_socket, tcp),
        Case::new("Unix socket", things::unix_socket, STREAM),
    ]
}

/// What the kernel makes up as it is read.
fn made_up() -> Vec<Case> {
    let untrue = [
        "pread",
        "it says that it is empty, and has content",
        SAME,
        "error: Input/output error (os error 5)",
    ];
    let refuses = [
        "pread",
        "mmap refused: No such device (os error 19)",
        SAME,
        NO_DEVICE,
    ];
    let zero = [untrue[0], untrue[1], SAME, "WRONG: 0 bytes, not 1048576"];
    let null = [
        "mapped",
        "it is empty, so there is nothing to map",
        SAME,
        NO_DEVICE,
    ];
    let of_path = |path: &'static str, expected| Case::new(path, || things::there(path), expected);
    vec![
        of_path("/proc/version", untrue),
        of_path("/sys/devices/system/cpu/online", refuses),
        of_path("/dev/zero", zero),
        of_path("/dev/null", null),
    ]
}

fn refused() -> Vec<Case> {
    let unreadable = |by_peer| {
        let reason = "the descriptor is not open for reading";
        [
            "an error",
            reason,
            "none; cat: Bad file descriptor",
            by_peer,
        ]
    };
    let path_only = unreadable("error: Bad file descriptor (os error 9)");
    let write_only = unreadable("error: Permission denied (os error 13)");
    let folder = [
        "an error",
        "cannot read: is a directory",
        "none; cat: Is a directory",
        NO_DEVICE,
    ];
    vec![
        Case::new("O_PATH descriptor", things::path_only, path_only),
        Case::new("write-only descriptor", things::write_only, write_only),
        Case::new("folder", things::folder, folder),
    ]
}

/// A thing that only root can make, where the machine has any.
fn block_device() -> Result<(Case, things::LoopDevice), &'static str> {
    let device = things::LoopDevice::new().ok_or("no loop device to be had (is this root?)")?;
    let path = device.path().to_owned();
    let expected = [
        "mapped",
        "it can be mapped whole",
        SAME,
        "WRONG: 0 bytes, not 131072",
    ];
    let case = Case::new("block device", move || things::there(&path), expected);
    Ok((case, device))
}

#[test]
fn the_table_of_kinds() {
    let mut rows = Vec::new();
    let mut device = None;
    let mut cases = cases();
    let mut skipped = None;
    match block_device() {
        Ok((case, attached)) => {
            device = Some(attached);
            cases.push(case);
        }
        Err(why) => skipped = Some(why),
    }
    for case in cases {
        let (name, expected) = (case.name.clone(), case.expected.clone());
        let row = within_a_minute(&name, move || case.run());
        rows.push((name, row, expected));
    }
    drop(device);
    print(&rows);
    if let Some(why) = skipped {
        println!("block device: skipped: {why}");
    }
    for (name, row, expected) in &rows {
        assert_eq!(row, expected, "{name}");
    }
}

fn print(rows: &[(String, Row, Row)]) {
    let head = [
        "source",
        "folio reads it",
        "because",
        "bytes, beside cat's",
        "memmap2's, beside cat's",
    ];
    let lines = rows
        .iter()
        .map(|(name, row, _)| [name.as_str(), &row.kind, &row.reason, &row.bytes, &row.peer]);
    let lines: Vec<_> = std::iter::once(head).chain(lines).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| lines.iter().map(|line| line[column].len()).max().unwrap())
        .collect();
    for line in lines {
        let padded = line.iter().zip(&widths);
        let cells: Vec<String> = padded
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

/// Runs what might wait for ever, and fails after a minute instead.
fn within_a_minute<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || sender.send(run()));
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name}: still waiting after a minute"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            panic!("{name}: {:?}", thread.join().map(drop))
        }
    }
}

/// For the rows above: it does nothing in this process.
#[test]
fn what_memmap2_reads() {
    if child::is(PEER) {
        readers::be_memmap2();
    }
}
