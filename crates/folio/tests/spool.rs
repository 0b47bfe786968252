//! Streams drained into memory or a temporary file.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::File;
use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use folio::{Error, Kind, ReadAt, Source};

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

/// A pipe that a thread fills.
fn pipe_of(content: Vec<u8>) -> Source {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    std::thread::spawn(move || {
        // The reader may have had enough.
        let _ = File::from(writer).write_all(&content);
    });
    Source::from_fd(reader).unwrap()
}

/// Runs what might wait for ever, and fails after a minute instead.
fn within_a_minute<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(run()));
    receiver
        .recv_timeout(Duration::from_secs(60))
        .expect("still waiting after a minute")
}

#[test]
fn a_pipe_gets_random_access() {
    for len in [0, 1, 65_536, 65_537, 3_000_000] {
        let content = pattern(len);
        let source = pipe_of(content.clone());
        let spooled = within_a_minute(move || source.spool().unwrap());
        assert_eq!(spooled.kind(), Kind::Mapped);
        assert_eq!(spooled.len(), Some(len as u64));
        assert_eq!(spooled.whole().unwrap().to_vec().unwrap(), content);
        if len > 70_000 {
            let view = spooled.view(65_530, 100).unwrap();
            assert_eq!(view.to_vec().unwrap(), content[65_530..65_630]);
        }
    }
}

#[test]
fn past_the_memory_it_goes_to_disk_whole() {
    let content = pattern(1_000_000);
    for memory in [0, 1, 65_536, 500_000, 999_999, 1_000_000] {
        let source = pipe_of(content.clone());
        let spooled =
            within_a_minute(move || source.spool_options().memory(memory).spool().unwrap());
        let whole = spooled.whole().unwrap();
        assert_eq!(whole.to_vec().unwrap(), content, "{memory} bytes of memory");
    }
}

#[test]
fn past_the_limit_it_is_an_error() {
    let source = pipe_of(pattern(100_000));
    let error = within_a_minute(move || source.spool_options().limit(99_999).spool().unwrap_err());
    assert!(matches!(error, Error::TooLarge { limit: 99_999, .. }));
    let source = pipe_of(pattern(100_000));
    let spooled = within_a_minute(move || source.spool_options().limit(100_000).spool().unwrap());
    assert_eq!(spooled.len(), Some(100_000));
}

#[test]
fn what_never_ends_ends_at_the_limit() {
    let zero = Source::open("/dev/zero").unwrap();
    let options = zero.spool_options().memory(1 << 20).limit(4 << 20);
    let error = within_a_minute(move || options.spool().unwrap_err());
    assert!(error.to_string().contains("/dev/zero"), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_of_proc_becomes_a_snapshot() {
    let spooled = Source::open("/proc/version").unwrap().spool().unwrap();
    let expected = std::fs::read("/proc/version").unwrap();
    assert_eq!(spooled.whole().unwrap().to_vec().unwrap(), expected);
    assert_eq!(spooled.path().to_str(), Some("/proc/version (spooled)"));
}

#[test]
fn what_is_mapped_is_given_back() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"already here").unwrap();
    let source = Source::from_fd(file).unwrap();
    let spooled = source.spool().unwrap();
    assert_eq!(spooled.path(), source.path());
    let mut bytes = Vec::new();
    spooled.reader().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"already here");
    assert_eq!(spooled.whole().unwrap().len(), 12);
}

#[test]
fn anything_can_be_frozen() {
    let content = pattern(100_000);
    let source = pipe_of(content.clone());
    let frozen = within_a_minute(move || source.freeze().unwrap());
    assert!(frozen[..] == content);

    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    let source = Source::from_fd(file.try_clone().unwrap()).unwrap();
    let frozen = source.freeze().unwrap();
    file.set_len(0).unwrap();
    assert!(frozen[..] == content, "whatever becomes of the file");

    let version = Source::open("/proc/version");
    if let Ok(source) = version {
        assert!(frozen.len() > source.freeze().unwrap().len());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_sealed_is_frozen_without_a_copy() {
    let spooled = pipe_of(pattern(50_000)).spool().unwrap();
    let (first, second) = (spooled.freeze().unwrap(), spooled.freeze().unwrap());
    assert!(first[..] == second[..] && first.len() == 50_000);
    let inode = |frozen: &folio::Frozen| rustix::fs::fstat(frozen.as_fd().unwrap()).unwrap().st_ino;
    assert_eq!(inode(&first), inode(&second));
}
