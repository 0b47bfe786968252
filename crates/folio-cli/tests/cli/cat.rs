//! `folio cat`

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::folder::Folder;
use crate::process::{FOLIO, Killed, run};

/// Bytes of which each page is different, and no offset looks like another.
fn pages() -> Vec<u8> {
    (0..3 * 4096_u32 + 100)
        .flat_map(|i| i.wrapping_mul(0x9e37_79b9).to_le_bytes())
        .collect()
}

#[test]
fn prints_any_range_of_a_file_and_of_a_stream() {
    let folder = Folder::new();
    let bytes = pages();
    let path = folder.write("file", &bytes);
    let len = bytes.len();
    for (offset, length) in [
        (0, len),
        (0, 0),
        (0, 1),
        (1, 4095),
        (4095, 2),
        (4096, 4096),
        (4097, 8191),
        (12_287, 10_000),
        (len - 1, 1),
        (len, 0),
    ] {
        let (from, count) = (offset.to_string(), length.to_string());
        let range = ["--offset", &from, "--length", &count];
        let expected = &bytes[offset..offset + length];
        let cat = |source| ["cat", source].into_iter().chain(range);
        let found = folder.folio(cat("file")).success();
        assert!(found == expected, "file from {offset}, {length} bytes");
        let found = folder.folio_reading(cat("-"), &bytes).success();
        assert!(found == expected, "pipe from {offset}, {length} bytes");
        // Standard input that is a file is mapped as any other.
        let mut command = Command::new("sh");
        let redirected = r#"file="$1"; shift; exec "$0" cat - "$@" <"$file""#;
        command
            .args(["-c", redirected, FOLIO])
            .arg(&path)
            .args(range);
        let found = run(&mut command, b"").success();
        assert!(
            found == expected,
            "redirected from {offset}, {length} bytes"
        );
    }
    assert!(folder.folio(["cat", "file", "--offset", "3K"]).success() == bytes[3072..]);
    assert!(folder.folio(["cat", "file"]).success() == bytes);
}

#[test]
fn prints_what_cannot_be_mapped() {
    let folder = Folder::new();
    let version = std::fs::read("/proc/version").unwrap();
    assert_eq!(folder.folio(["cat", "/proc/version"]).success(), version);
    let part = ["cat", "/proc/version", "--offset", "6", "--length", "7"];
    assert_eq!(folder.folio(part).success(), version[6..13]);
    let zeros = ["cat", "/dev/zero", "--offset", "1M", "--length", "5000"];
    assert_eq!(folder.folio(zeros).success(), [0; 5000]);
    assert_eq!(folder.folio(["cat", "/dev/null"]).success(), b"");
    folder.write("empty", b"");
    assert_eq!(folder.folio(["cat", "empty"]).success(), b"");
}

#[test]
fn prints_what_comes_through_a_fifo() {
    let folder = Folder::new();
    let fifo = folder.path("fifo");
    run(Command::new("mkfifo").arg(&fifo), b"").success();
    let bytes = pages();
    let mut cat = folder.command(["cat", "fifo", "--offset", "4097"]);
    let writer = std::thread::spawn({
        let bytes = bytes.clone();
        // Opening waits for the reader.
        move || {
            File::options()
                .write(true)
                .open(fifo)
                .unwrap()
                .write_all(&bytes)
                .unwrap();
        }
    });
    let finished = run(&mut cat, b"");
    writer.join().unwrap();
    assert!(finished.success() == bytes[4097..]);
}

#[test]
fn a_range_that_is_not_there_is_an_error() {
    let folder = Folder::new();
    folder.write("file", b"0123456789");
    let finished = folder.folio(["cat", "file", "--offset", "8", "--length", "4"]);
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(
        finished.stderr,
        "folio: file: bytes 8..12 asked for, but it has only 10\n"
    );
    assert_eq!(finished.stdout, b"");
    // A stream's end is known when it comes.
    let piped = ["cat", "-", "--offset", "8", "--length", "4"];
    let finished = folder.folio_reading(piped, b"0123456789");
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(
        finished.stderr,
        "folio: <stdin>: ended at byte 10, before all that was asked for\n"
    );
    assert_eq!(finished.stdout, b"89");
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let folder = Folder::new();
    // More than a pipe holds, so that it writes again after its reader is gone.
    folder.write("file", "line\n".repeat(200_000));
    for (arguments, input) in [
        (["cat", "file"], Stdio::null()),
        (["cat", "-"], {
            Stdio::from(File::open("/dev/zero").unwrap())
        }),
    ] {
        let mut command = folder.command(arguments);
        command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut cat = Killed(command.spawn().unwrap());
        let mut stdout = BufReader::with_capacity(5, cat.0.stdout.take().unwrap());
        assert!(!stdout.fill_buf().unwrap().is_empty());
        drop(stdout);
        assert!(cat.wait().success(), "{arguments:?}");
        let mut stderr = BufReader::new(cat.0.stderr.take().unwrap());
        assert_eq!(stderr.fill_buf().unwrap(), b"");
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    let folder = Folder::new();
    folder.write("file", b"0123456789");
    let mut command = Command::new("sh");
    let full = r#"exec "$0" cat file >/dev/full"#;
    folder.at_home(command.args(["-c", full, FOLIO]));
    let finished = run(&mut command, b"");
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished
            .stderr
            .starts_with("folio: <stdout>: cannot write: "),
        "{}",
        finished.stderr
    );
}
