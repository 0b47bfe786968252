//! Bytes that nobody can change: how they are proven, and that they are not when they are not.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use folio::{Error, Frozen, HugePages, Map, MapMut, Missing, ReadAt, Source};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn memfd_of(content: &[u8], seals: SealFlags) -> OwnedFd {
    let fd = memfd_create("test", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(fd);
    file.write_all(content).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    file.into()
}

fn all_seals() -> SealFlags {
    SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW
}

#[test]
fn every_way_of_making_gives_the_bytes() {
    let content = pattern(300_001);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&content).unwrap();
    let source = Source::open(&file).unwrap();
    let ways = [
        Frozen::from(content.clone()),
        Frozen::from(content.clone().into_boxed_slice()),
        Frozen::copy_of(content.as_slice()).unwrap(),
        Frozen::copy_of(&source.whole().unwrap()).unwrap(),
        Frozen::copy_of(&Map::open(&file).unwrap()).unwrap(),
        Frozen::options().read_from(content.as_slice()).unwrap(),
        Frozen::options().read_from(source.reader()).unwrap(),
        Frozen::from_fd(memfd_of(&content, all_seals())).unwrap(),
    ];
    for frozen in &ways {
        assert_eq!(**frozen, content);
        assert_eq!(frozen.len(), content.len());
        let mut bytes = [0; 10];
        frozen.read_exact_at(299_991, &mut bytes).unwrap();
        assert_eq!(bytes, content[299_991..]);
        assert_eq!(frozen.read_at(299_999, &mut bytes).unwrap(), 2);
        assert!(matches!(
            frozen.read_exact_at(299_999, &mut bytes),
            Err(Error::OutOfRange { .. })
        ));
        let part = frozen.part(100..200).unwrap().part(50..).unwrap();
        assert_eq!(*part, content[150..200]);
        for (start, end) in [(0, 300_002), (300_002, 300_002), (u64::MAX, u64::MAX)] {
            assert!(matches!(
                frozen.part(start..end),
                Err(Error::OutOfRange { .. })
            ));
        }
    }
    drop(source);
    drop(file);
    assert_eq!(*ways[3], content, "it is a copy");
}

#[test]
fn nothing_is_frozen_nothing() {
    for frozen in [
        Frozen::from(Vec::new()),
        Frozen::copy_of([].as_slice()).unwrap(),
        Frozen::options().read_from(io::empty()).unwrap(),
        Frozen::from_fd(memfd_of(b"", all_seals())).unwrap(),
    ] {
        assert!(frozen.is_empty());
        assert_eq!(*frozen.part(..).unwrap(), []);
        assert_eq!(*frozen.shareable().unwrap(), []);
    }
}

#[test]
fn what_is_not_proven_is_refused_with_what_is_missing() {
    let seals = |error: Error| match error {
        Error::NotFrozen { missing, .. } => missing,
        error => panic!("{error}"),
    };
    for present in 0..8_u8 {
        let (write, shrink, grow) = (present & 1 != 0, present & 2 != 0, present & 4 != 0);
        let mut flags = SealFlags::FUTURE_WRITE;
        for (is, flag) in [
            (write, SealFlags::WRITE),
            (shrink, SealFlags::SHRINK),
            (grow, SealFlags::GROW),
        ] {
            if is {
                flags |= flag;
            }
        }
        let outcome = Frozen::from_fd(memfd_of(b"content", flags));
        if present == 7 {
            assert_eq!(*outcome.unwrap(), *b"content");
            continue;
        }
        let expected = Missing::Seals {
            write: !write,
            shrink: !shrink,
            grow: !grow,
        };
        assert_eq!(seals(outcome.unwrap_err()), expected);
    }
    let error = Frozen::from_fd(memfd_of(b"", SealFlags::SHRINK)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "<descriptor>: its bytes may change: not sealed against writing, growing"
    );

    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"content").unwrap();
    assert_eq!(seals(Frozen::from_fd(file).unwrap_err()), Missing::Proof);
    if let Ok(on_tmpfs) = tempfile::tempfile_in("/dev/shm") {
        // A tmpfs file has seals, but not these.
        let missing = seals(Frozen::from_fd(on_tmpfs).unwrap_err());
        assert!(matches!(missing, Missing::Seals { write: true, .. }));
    }
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    for end in [reader, writer] {
        assert_eq!(seals(Frozen::from_fd(end).unwrap_err()), Missing::Proof);
    }
    let (socket, _peer) = UnixStream::pair().unwrap();
    assert_eq!(seals(Frozen::from_fd(socket).unwrap_err()), Missing::Proof);
    let folder = File::open("/").unwrap();
    assert_eq!(seals(Frozen::from_fd(folder).unwrap_err()), Missing::Proof);
    assert_eq!(
        seals(Frozen::open("/proc/self/status").unwrap_err()),
        Missing::Proof
    );
    assert_eq!(
        seals(Frozen::open("/dev/zero").unwrap_err()),
        Missing::Proof
    );
    assert!(matches!(
        Frozen::open("/nowhere"),
        Err(Error::Io { action: "open", .. })
    ));
}

#[test]
fn a_frozen_file_cannot_be_changed() {
    let frozen = Frozen::copy_of(b"immutable".as_slice()).unwrap();
    let fd = frozen.as_fd().unwrap().try_clone_to_owned().unwrap();
    let file = File::from(fd);
    assert!(file.write_at(b"X", 0).is_err());
    assert!(file.set_len(4).is_err());
    assert!(file.set_len(100_000).is_err());
    assert!(Map::options().map_mut(&file, "frozen").is_err());
    let path = format!("/dev/fd/{}", file.as_raw_fd());
    if let Ok(writable) = File::options().write(true).open(path) {
        assert!(writable.write_at(b"X", 0).is_err());
    }
    assert!(
        fcntl_add_seals(&file, SealFlags::empty()).is_err(),
        "sealed against seals"
    );
    assert_eq!(*frozen, *b"immutable");
}

#[test]
fn a_map_is_frozen_in_place_when_nobody_writes_any_more() {
    let map = MapMut::options().memfd("built", 10_000).unwrap();
    map.write_all_at(9_995, b"built").unwrap();
    let view = map.view(0, 10).unwrap();
    let other = map.file().unwrap().try_clone_to_owned().unwrap();
    let error = map.freeze().unwrap_err();
    assert!(
        matches!(&error, Error::Io { source, .. }
        if source.kind() == io::ErrorKind::ResourceBusy),
        "{error}"
    );
    drop(view);
    let map = Map::options().map_mut(&File::from(other), "again").unwrap();
    let frozen = map.freeze().unwrap();
    assert_eq!(frozen.len(), 10_000);
    assert_eq!(frozen[9_995..], *b"built");

    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(10).unwrap();
    assert!(MapMut::open(&file).unwrap().freeze().is_err());
    assert!(MapMut::options().anonymous(10).unwrap().freeze().is_err());
}

#[test]
fn limits_are_kept() {
    let options = Frozen::options().limit(100_000);
    assert_eq!(
        options
            .read_from(pattern(100_000).as_slice())
            .unwrap()
            .len(),
        100_000
    );
    assert_eq!(
        options.copy_of(pattern(100_000).as_slice()).unwrap().len(),
        100_000
    );
    for outcome in [
        options.read_from(pattern(100_001).as_slice()),
        options.copy_of(pattern(100_001).as_slice()),
        options.read_from(io::repeat(1)),
    ] {
        assert!(matches!(
            outcome,
            Err(Error::TooLarge { limit: 100_000, .. })
        ));
    }
}

#[test]
fn huge_pages_hold_the_same_bytes_and_no_more() {
    let content = pattern(3_000_000);
    for wanted in [HugePages::None, HugePages::Transparent, HugePages::Pool] {
        let frozen = Frozen::options()
            .huge_pages(wanted)
            .copy_of(content.as_slice())
            .unwrap();
        assert_eq!(*frozen, content);
        let (ours, theirs) = UnixStream::pair().unwrap();
        frozen.send_over(&ours).unwrap();
        assert_eq!(*Frozen::receive_from(&theirs).unwrap(), content);
    }
}

#[test]
fn parts_and_copies_are_sent() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let frozen = Frozen::copy_of(pattern(20_000).as_slice()).unwrap();
    let part = frozen.part(9_999..10_005).unwrap();
    part.send_over(&ours).unwrap();
    let received = Frozen::receive_from(&theirs).unwrap();
    assert_eq!(*received, pattern(20_000)[9_999..10_005]);
    let own = Frozen::from(b"own".to_vec());
    own.part(1..).unwrap().send_over(&ours).unwrap();
    assert_eq!(*Frozen::receive_from(&theirs).unwrap(), *b"wn");
    drop(theirs);
    assert!(matches!(
        frozen.send_over(&ours),
        Err(Error::Io { action: "send", .. })
    ));
}

const MARK: &[u8] = b"frozen\x01\n";

fn letter(mark: &[u8], offset: u64, len: u64) -> Vec<u8> {
    let mut letter = mark.to_vec();
    letter.extend(offset.to_le_bytes());
    letter.extend(len.to_le_bytes());
    letter
}

#[test]
fn hostile_letters_are_refused() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let sealed = memfd_of(b"content", all_seals());
    for (offset, len) in [
        (0, 8),
        (8, 0),
        (7, 1),
        (u64::MAX, 2),
        (1, u64::MAX),
        (u64::MAX, u64::MAX),
    ] {
        send(&ours, &sealed, &letter(MARK, offset, len));
        let error = Frozen::receive_from(&theirs).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    }
    send(&ours, &sealed, &letter(b"frozen\x02\n", 0, 7));
    assert!(is_refusal(&Frozen::receive_from(&theirs)));
    send(&ours, &sealed, &letter(MARK, 0, 7));
    assert_eq!(*Frozen::receive_from(&theirs).unwrap(), *b"content");
    (&ours).write_all(&letter(MARK, 0, 7)).unwrap();
    assert!(is_refusal(&Frozen::receive_from(&theirs)), "no descriptor");
    drop(ours);
    assert!(is_refusal(&Frozen::receive_from(&theirs)), "nobody there");
}

fn is_refusal(outcome: &Result<Frozen, Error>) -> bool {
    matches!(
        outcome,
        Err(Error::Io {
            action: "receive",
            ..
        })
    )
}

#[test]
fn hostile_descriptors_are_refused() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"content").unwrap();
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    for fd in [
        file.into(),
        reader,
        memfd_of(b"content", SealFlags::SHRINK),
        memfd_of(
            b"content",
            SealFlags::FUTURE_WRITE | SealFlags::SHRINK | SealFlags::GROW,
        ),
    ] {
        send(&ours, &fd, &letter(MARK, 0, 7));
        let outcome = Frozen::receive_from(&theirs);
        assert!(
            matches!(outcome, Err(Error::NotFrozen { .. })),
            "{outcome:?}"
        );
    }
}

fn send(socket: &UnixStream, fd: &OwnedFd, letter: &[u8]) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::os::fd::AsFd;

    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [fd.as_fd()];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
    let sent = sendmsg(
        socket,
        &[io::IoSlice::new(letter)],
        &mut ancillary,
        SendFlags::empty(),
    );
    assert_eq!(sent.unwrap(), letter.len());
}

const CHILD: &str = "FOLIO_FROZEN_CHILD";

/// Runs the test `child` below in a process of its own.
fn reading_child(task: &str, input: impl Into<Stdio>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, task)
        .stdin(input);
    command
}

/// What the child processes of the tests below do.
#[test]
fn child() -> Result<(), Box<dyn std::error::Error>> {
    let Ok(task) = std::env::var(CHILD) else {
        return Ok(());
    };
    let input = rustix::stdio::stdin().try_clone_to_owned()?;
    let frozen = match task.strip_prefix("open:") {
        Some(path) => Frozen::open(path)?,
        None if task == "receive" => {
            let socket = UnixStream::from(input);
            socket.set_read_timeout(Some(Duration::from_secs(60)))?;
            Frozen::receive_from(&socket)?
        }
        None => Frozen::from_fd(input)?,
    };
    assert_eq!(*frozen, pattern(500_000));
    let fd = frozen
        .as_fd()
        .ok_or("no descriptor")?
        .try_clone_to_owned()?;
    assert!(File::from(fd).write_at(b"X", 0).is_err());
    println!("the child read it");
    Ok(())
}

fn assert_read(mut command: Command) {
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(command);
    let mut said = String::new();
    running
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(running.wait().unwrap().success(), "{said}");
    assert!(said.contains("the child read it"), "{said}");
}

#[test]
fn another_process_receives_over_a_socket() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let frozen = Frozen::copy_of(pattern(500_000).as_slice()).unwrap();
    frozen.send_over(&ours).unwrap();
    assert_read(reading_child("receive", OwnedFd::from(theirs)));
    assert_eq!(*frozen, pattern(500_000));
}

#[test]
fn another_process_inherits() {
    for frozen in [
        Frozen::copy_of(pattern(500_000).as_slice()).unwrap(),
        Frozen::from(pattern(500_000)),
    ] {
        assert_read(reading_child("inherit", frozen.inheritable_fd().unwrap()));
        let fd = frozen.inheritable_fd().unwrap();
        let path = format!("open:/dev/fd/{}", fd.as_raw_fd());
        assert_read(reading_child(&path, Stdio::null()));
    }
}

#[test]
fn another_process_refuses_what_is_not_sealed() {
    let fd = memfd_of(
        &pattern(500_000),
        SealFlags::SHRINK | SealFlags::FUTURE_WRITE,
    );
    let output = reading_child("inherit", fd).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("NotFrozen"), "{said}");
}

#[test]
fn a_file_under_verity_is_frozen() {
    // Making one takes a file system with the feature, so one is brought: `fsverity enable FILE`.
    let Some(path) = std::env::var_os("FOLIO_VERITY_FILE") else {
        eprintln!("skipped: FOLIO_VERITY_FILE names no file under fs-verity");
        return;
    };
    let frozen = Frozen::open(&path).unwrap();
    let expected = std::fs::read(&path).unwrap();
    assert!(*frozen == expected);
    let (ours, theirs) = UnixStream::pair().unwrap();
    frozen.send_over(&ours).unwrap();
    assert!(*Frozen::receive_from(&theirs).unwrap() == expected);
}
