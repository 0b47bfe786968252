//! Every kind of source: what is chosen, and that its bytes are the file's.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use folio::{Error, Kind, ReadAt, Source};

fn file_of(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn read_all(source: &Source) -> Vec<u8> {
    let mut bytes = Vec::new();
    source.reader().read_to_end(&mut bytes).unwrap();
    bytes
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
fn a_regular_file_is_mapped() {
    let content = pattern(300_000);
    let file = file_of(&content);
    let source = Source::open(&file).unwrap();
    assert_eq!(source.kind(), Kind::Mapped);
    assert_eq!(source.len(), Some(300_000));
    assert_eq!(read_all(&source), content);
    for (offset, len) in [
        (0, 300_000),
        (1, 1),
        (4095, 2),
        (4097, 100_000),
        (299_999, 1),
    ] {
        let view = source.view(offset, len).unwrap();
        let expected =
            &content[usize::try_from(offset).unwrap()..][..usize::try_from(len).unwrap()];
        assert_eq!(view.to_vec().unwrap(), expected);
        let mut copied = Vec::new();
        view.copy_to(&mut copied).unwrap();
        assert_eq!(copied, expected);
    }
    let mut bytes = [0; 10];
    assert_eq!(source.read_at(299_995, &mut bytes).unwrap(), 5);
    assert_eq!(source.read_at(300_000, &mut bytes).unwrap(), 0);
    assert_eq!(source.read_at(u64::MAX, &mut bytes).unwrap(), 0);
}

#[test]
fn an_empty_file_is_empty() {
    let source = Source::open(file_of(b"")).unwrap();
    assert_eq!((source.kind(), source.len()), (Kind::Mapped, Some(0)));
    assert!(source.is_empty());
    assert!(source.whole().unwrap().to_vec().unwrap().is_empty());
    assert!(read_all(&source).is_empty());
}

#[test]
fn ranges_that_are_not_there_are_refused() {
    let source = Source::open(file_of(b"0123456789")).unwrap();
    for (offset, len) in [(0, 11), (11, 0), (10, 1), (u64::MAX, 2), (2, u64::MAX)] {
        let error = source.view(offset, len).unwrap_err();
        assert!(
            matches!(error, Error::OutOfRange { size: 10, .. }),
            "{error}"
        );
        let error = source.whole().unwrap().part(offset, len).unwrap_err();
        assert!(
            matches!(error, Error::OutOfRange { size: 10, .. }),
            "{error}"
        );
    }
    let view = source.view(5, 3).unwrap();
    assert_eq!(view.get::<[u8; 3]>(0).unwrap(), *b"567");
    assert!(
        view.get::<[u8; 4]>(0).is_err(),
        "the file has more, the view has not"
    );
    let mut bytes = [0; 10];
    assert_eq!(view.read_at(2, &mut bytes).unwrap(), 1);
    assert_eq!(view.read_at(u64::MAX, &mut bytes).unwrap(), 0);
}

#[test]
fn a_truncated_file_gives_faults() {
    let file = file_of(&pattern(40_000));
    let source = Source::open(&file).unwrap();
    file.as_file().set_len(4096).unwrap();
    let mut bytes = [0; 100];
    assert_eq!(source.read_at(3000, &mut bytes).unwrap(), 100);
    let page_after = 4096.max(folio_page_size());
    let error = source.read_at(page_after, &mut bytes).unwrap_err();
    assert!(matches!(error, Error::Fault { offset, .. } if offset == page_after));
    assert!(error.is_fault());
    let error = source.view(10, 39_000).unwrap().to_vec().unwrap_err();
    assert!(matches!(error, Error::Fault { offset, .. } if offset == page_after));
    let error = source.reader().read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("fault at byte"), "{error}");
}

fn folio_page_size() -> u64 {
    rustix::param::page_size() as u64
}

#[test]
fn a_pipe_is_a_stream() {
    let content = pattern(1_000_000);
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let sent = content.clone();
    let sender = std::thread::spawn(move || File::from(writer).write_all(&sent).unwrap());
    let source = Source::from_fd(reader).unwrap();
    assert_eq!((source.kind(), source.len()), (Kind::Stream, None));
    assert!(matches!(
        source.read_at(0, &mut [0]),
        Err(Error::Unsupported { .. })
    ));
    assert!(matches!(source.view(0, 1), Err(Error::Unsupported { .. })));
    assert!(matches!(source.whole(), Err(Error::Unsupported { .. })));
    let error = source.reader().seek(SeekFrom::Start(0)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert_eq!(within_a_minute(move || read_all(&source)), content);
    sender.join().unwrap();
}

#[test]
fn a_fifo_is_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let to = path.clone();
    let sender = std::thread::spawn(move || std::fs::write(to, b"through a fifo").unwrap());
    let bytes = within_a_minute(move || {
        let source = Source::open(&path).unwrap();
        assert_eq!(source.kind(), Kind::Stream);
        read_all(&source)
    });
    assert_eq!(bytes, b"through a fifo");
    sender.join().unwrap();
}

#[test]
fn a_socket_is_a_stream() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"one\ntwo\n").unwrap();
    drop(theirs);
    let source = Source::from_fd(ours).unwrap();
    assert_eq!(source.kind(), Kind::Stream);
    let lines: Vec<String> = source.reader().lines().map(Result::unwrap).collect();
    assert_eq!(lines, ["one", "two"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_tty_is_a_stream() {
    use rustix::pty;

    let flags = pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY;
    let controller = pty::openpt(flags).unwrap();
    pty::grantpt(&controller).unwrap();
    pty::unlockpt(&controller).unwrap();
    let name = pty::ptsname(&controller, Vec::new()).unwrap();
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc_noctty())
        .open(name.to_str().unwrap())
        .unwrap();
    let source = Source::from_fd(terminal).unwrap();
    assert_eq!(source.kind(), Kind::Stream);
    // A line, then the end-of-file character.
    File::from(controller.try_clone().unwrap())
        .write_all(b"typed\n\x04")
        .unwrap();
    assert_eq!(within_a_minute(move || read_all(&source)), b"typed\n");
    drop(controller);
}

#[cfg(target_os = "linux")]
fn libc_noctty() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn files_of_proc_and_sys_are_positioned() {
    for path in [
        "/proc/self/status",
        "/proc/version",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    ] {
        let Ok(expected) = std::fs::read(path) else {
            continue;
        };
        let source = Source::open(path).unwrap();
        assert_eq!(
            (source.kind(), source.len()),
            (Kind::Positioned, None),
            "{path}"
        );
        let bytes = read_all(&source);
        assert_eq!(bytes[..7], expected[..7], "{path}");
        let mut word = [0; 3];
        assert_eq!(source.read_at(2, &mut word).unwrap(), 3);
        assert_eq!(word, expected[2..5], "{path}");
        assert!(matches!(source.whole(), Err(Error::Unsupported { .. })));
    }
}

#[test]
fn devices_that_never_end_or_never_begin() {
    let zero = Source::open("/dev/zero").unwrap();
    assert_eq!(zero.len(), None);
    let mut bytes = [1; 100];
    zero.reader().read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, [0; 100]);
    let null = Source::open("/dev/null").unwrap();
    assert!(read_all(&null).is_empty());
}

#[test]
fn a_deleted_file_is_still_there() {
    let file = file_of(b"going");
    let open: OwnedFd = file.reopen().unwrap().into();
    drop(file);
    assert_eq!(read_all(&Source::from_fd(open).unwrap()), b"going");
}

#[test]
fn what_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let error = Source::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, Error::Io { source, .. } if source.kind() == io::ErrorKind::IsADirectory)
    );
    let error = Source::open(folder.path().join("none")).unwrap_err();
    assert!(matches!(&error, Error::Io { action: "open", source, .. }
        if source.kind() == io::ErrorKind::NotFound));

    let path = folder.path().join("written");
    let write_only = File::create(&path).unwrap();
    let error = Source::from_fd(write_only).unwrap_err();
    assert!(
        error.to_string().contains("not open for reading"),
        "{error}"
    );

    #[cfg(target_os = "linux")]
    {
        let flags = i32::try_from(rustix::fs::OFlags::PATH.bits()).unwrap();
        let path_only = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path)
            .unwrap();
        let error = Source::from_fd(path_only).unwrap_err();
        assert!(
            error.to_string().contains("not open for reading"),
            "{error}"
        );
    }
}

#[test]
fn readers_seek_where_there_is_random_access() {
    let content = pattern(200_000);
    let source = Source::open(file_of(&content)).unwrap();
    let mut reader = source.reader();
    let mut bytes = [0; 4];
    for (to, expected) in [
        (SeekFrom::Start(150_001), 150_001),
        (SeekFrom::Current(-100_000), 50_005),
        (SeekFrom::End(-4), 199_996),
        (SeekFrom::Start(3), 3),
    ] {
        assert_eq!(reader.seek(to).unwrap(), expected as u64);
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, content[expected..expected + 4]);
    }
    assert!(reader.seek(SeekFrom::Current(-1000)).is_err());
    reader.seek(SeekFrom::End(10)).unwrap();
    assert_eq!(reader.read(&mut bytes).unwrap(), 0);
}

#[test]
fn sources_and_views_are_shared_between_threads() {
    let content = pattern(100_000);
    let source = Source::open(file_of(&content)).unwrap();
    let view = source.view(1000, 50_000).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (source, view, content) = (source.clone(), view.clone(), &content);
            scope.spawn(move || {
                assert_eq!(read_all(&source), *content);
                assert_eq!(view.to_vec().unwrap(), content[1000..51_000]);
            });
        }
    });
}

#[test]
fn the_whole_of_a_windowed_source() {
    let file = file_of(&[]);
    // No run of them comes twice: squares, one after the other.
    let squares = (0..375_000_u64).flat_map(|n| (n * n + 1).to_le_bytes());
    let bytes: Vec<u8> = squares.collect();
    std::fs::write(&file, &bytes).unwrap();
    let source = Source::options()
        .kind(Kind::Windowed)
        .windows(
            folio::Windows::options()
                .window_bytes(64 << 10)
                .budget_bytes(256 << 10),
        )
        .open(file.path())
        .unwrap();
    let whole = source.whole().unwrap();
    assert_eq!(whole.len(), bytes.len() as u64);
    assert_eq!(whole.to_vec().unwrap(), bytes);
    assert_eq!(whole.path(), file.path());
    assert_eq!(whole.file_id(), None);
    let mut seen = Vec::new();
    whole
        .for_each_chunk(|chunk| {
            seen.extend_from_slice(chunk);
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(seen, bytes);
    assert_eq!(
        whole.find(1_000_000, &bytes[2_000_000..2_000_040]).unwrap(),
        Some(2_000_000)
    );

    let part = whole.part(1_234_567, 100_000).unwrap();
    assert!(part.eq(&bytes[1_234_567..1_334_567]).unwrap());
    assert_eq!(
        part.part(99_999, 1).unwrap().get::<u8>(0).unwrap(),
        bytes[1_334_566]
    );
    part.prefetch(0, 64);
    for error in [
        part.part(99_999, 2).map(drop).unwrap_err(),
        part.get::<u64>(99_993).map(drop).unwrap_err(),
        whole.read_exact_at(u64::MAX, &mut [0]).unwrap_err(),
    ] {
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    }
    let mut buf = [0; 10];
    assert_eq!(part.read_at(99_995, &mut buf).unwrap(), 5);

    file.as_file().set_len(1_000_000).unwrap();
    assert!(part.to_vec().unwrap_err().is_fault());
    assert!(
        whole
            .part(0, 999_999)
            .unwrap()
            .eq(&bytes[..999_999])
            .unwrap()
    );
    assert!(source.windows().unwrap().stats().mapped_bytes <= 256 << 10);
}
