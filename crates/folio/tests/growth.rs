//! Files that grow and shrink while a source has them open, and kinds that are asked for.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use folio::{Error, Kind, ReadAt, Reason, Source};

fn file_of(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

#[test]
fn a_log_that_grows_is_followed() {
    let mut file = file_of(b"one\n");
    let source = Source::open(&file).unwrap();
    let before = source.whole().unwrap();
    let appender = std::thread::spawn(move || {
        for line in [b"two\n".as_slice(), b"three\n"] {
            std::thread::sleep(Duration::from_millis(20));
            file.write_all(line).unwrap();
        }
        file
    });
    let minute = Some(Duration::from_secs(60));
    let grown = source.wait_for_len(8, minute).unwrap();
    assert_eq!(grown.view(4, 4).unwrap().to_vec().unwrap(), b"two\n");
    let grown = grown.wait_for_len(14, minute).unwrap();
    assert_eq!(grown.view(8, 6).unwrap().to_vec().unwrap(), b"three\n");
    assert_eq!(
        before.to_vec().unwrap(),
        b"one\n",
        "an old view is what it was"
    );
    assert_eq!(source.len(), Some(4));
    drop(appender.join().unwrap());
}

#[test]
fn waiting_ends_at_its_timeout() {
    let source = Source::open(file_of(b"short")).unwrap();
    let error = source
        .wait_for_len(100, Some(Duration::from_millis(5)))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::OutOfRange {
            len: 100,
            size: 5,
            ..
        }
    ));
    let there = source.wait_for_len(5, Some(Duration::ZERO)).unwrap();
    assert_eq!(there.len(), Some(5));
}

#[test]
fn an_empty_file_that_grows_and_shrinks() {
    let mut file = file_of(b"");
    let source = Source::open(&file).unwrap();
    assert_eq!(source.reason(), &Reason::Empty);
    file.write_all(b"something").unwrap();
    let now = source.refresh().unwrap();
    assert_eq!((now.len(), now.reason()), (Some(9), &Reason::Mappable));
    file.as_file().set_len(4).unwrap();
    assert_eq!(
        now.refresh().unwrap().whole().unwrap().to_vec().unwrap(),
        b"some"
    );
}

#[test]
fn kinds_that_are_asked_for() {
    let content = b"the same bytes, whichever way";
    let file = file_of(content);
    for kind in [Kind::Mapped, Kind::Positioned, Kind::Stream] {
        let source = Source::options().kind(kind).open(&file).unwrap();
        assert_eq!((source.kind(), source.reason()), (kind, &Reason::Asked));
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut source.reader(), &mut bytes).unwrap();
        assert_eq!(bytes, content);
        if kind == Kind::Positioned {
            let view = source.view(4, 4).unwrap();
            assert_eq!(view.to_vec().unwrap(), b"same");
            assert_eq!(view.part(1, 2).unwrap().get::<[u8; 2]>(0).unwrap(), *b"am");
            file.as_file().set_len(6).unwrap();
            assert!(matches!(view.to_vec(), Err(Error::OutOfRange { .. })));
            file.as_file().set_len(0).unwrap();
            std::fs::write(&file, content).unwrap();
        }
    }
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let file = std::fs::File::from(std::os::fd::OwnedFd::from(ours));
    let error = Source::options()
        .kind(Kind::Positioned)
        .of_file(file, "a socket")
        .unwrap_err();
    assert!(error.to_string().starts_with("a socket"), "{error}");
}

#[test]
fn a_tcp_connection_is_a_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    theirs.write_all(b"over tcp").unwrap();
    drop(theirs);
    let source = Source::from_fd(ours).unwrap();
    assert_eq!(source.reason(), &Reason::NoRandomAccess);
    let spooled = source.spool().unwrap();
    assert_eq!(spooled.whole().unwrap().to_vec().unwrap(), b"over tcp");
}

/// Needs root, and a loop device, of which some machines have none.
#[test]
#[cfg(target_os = "linux")]
fn a_block_device_is_mapped() {
    let content: Vec<u8> = (0..1 << 20).map(|i: u32| i.to_le_bytes()[1]).collect();
    let file = file_of(&content);
    let attached = std::process::Command::new("losetup")
        .args(["--find", "--show", "--read-only"])
        .arg(file.path())
        .output();
    let Some(device) = attached
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8(output.stdout).unwrap())
    else {
        println!("skipped: a loop device cannot be had (is this root?)");
        return;
    };
    let device = device.trim();
    let outcome = std::panic::catch_unwind(|| {
        let source = Source::open(device).unwrap();
        assert_eq!(source.kind(), Kind::Mapped, "{}", source.reason());
        assert_eq!(source.len(), Some(1 << 20));
        assert!(source.whole().unwrap().eq(&content).unwrap());
    });
    let detached = std::process::Command::new("losetup")
        .args(["--detach", device])
        .status();
    assert!(detached.unwrap().success());
    outcome.unwrap();
}

#[test]
fn a_hole_reads_as_zeros() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(10 << 30).unwrap();
    let source = Source::from_fd(file).unwrap();
    let mut word = [1; 8];
    for offset in [0, (4 << 30) - 4, (10 << 30) - 8] {
        assert_eq!(source.read_at(offset, &mut word).unwrap(), 8);
        assert_eq!(word, [0; 8]);
        let view = source.view(offset, 8).unwrap();
        assert_eq!(view.get::<u64>(0).unwrap(), 0);
    }
    assert_eq!(source.whole().unwrap().len(), 10 << 30);
}

#[test]
fn a_file_larger_than_a_window_is_windowed() {
    let content: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
    let file = file_of(&content);
    let windows = folio::Windows::options()
        .window_bytes(64 << 10)
        .budget_bytes(256 << 10);
    let options = Source::options().windows(windows);
    let source = options.open(&file).unwrap();
    assert_eq!(source.kind(), Kind::Windowed);
    assert_eq!(source.reason(), &Reason::TooLarge);
    assert_eq!(source.len(), Some(1_600_000));
    assert!(source.whole().unwrap().eq(&content).unwrap());
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut source.reader(), &mut bytes).unwrap();
    assert!(bytes == content);
    let mut word = vec![0; 100_000];
    assert_eq!(source.read_at(700_001, &mut word).unwrap(), word.len());
    assert_eq!(word[..], content[700_001..800_001]);
    assert!(source.view(1_600_000, 1).is_err());
    assert!(source.windows().unwrap().stats().maps > 0);
    // What refuses to be mapped is not windowed either, whatever its stated size.
    if cfg!(target_os = "linux") {
        let path = "/sys/kernel/mm/transparent_hugepage/enabled";
        if std::path::Path::new(path).exists() {
            let tiny = folio::Windows::options().window_bytes(1).budget_bytes(1);
            let source = Source::options().windows(tiny).open(path).unwrap();
            assert_eq!(source.kind(), Kind::Positioned);
        }
    }
    let forced = Source::options().kind(Kind::Windowed).open(&file).unwrap();
    assert_eq!(
        (forced.kind(), forced.len()),
        (Kind::Windowed, Some(1_600_000))
    );
}
