//! How regions come to be, and who may open them.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;

use folio_ipc::{Data, Error, Region};

use crate::Test;
use crate::child::{Child, say, until_told};
use crate::sample::{Sample, assert_tidy, names_in, small};

pub(crate) const TESTS: &[Test] = &[
    ("made_once_and_opened_by_all", made_once_and_opened_by_all),
    (
        "of_many_that_make_it_one_does",
        of_many_that_make_it_one_does,
    ),
    ("options_that_cannot_be", options_that_cannot_be),
    ("permissions", permissions),
    ("what_is_no_region", what_is_no_region),
    ("in_memory", in_memory),
    ("observers_change_nothing", observers_change_nothing),
    ("participants_come_and_go", participants_come_and_go),
    ("zombies_are_dead", zombies_are_dead),
    (
        "no_more_participants_than_slots",
        no_more_participants_than_slots,
    ),
    ("more_threads_than_records", more_threads_than_records),
    ("a_full_disk_is_an_error", a_full_disk_is_an_error),
    ("no_address_space_left", no_address_space_left),
];

/// The longest that a region can become.
const MOST_BYTES: u64 = if usize::BITS < 64 {
    (1 << 31) - 4096
} else {
    1 << 46
};

fn made_once_and_opened_by_all() {
    let sample = Sample::new();
    assert_eq!(names_in(sample.folder.path()), ["region"]);
    assert_eq!(fs::metadata(&sample.path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(sample.region.size_bytes().unwrap(), 128 << 10);
    assert_eq!(sample.region.capacity_bytes(), 4 << 20);
    assert!(is_io(
        &small().create(&sample.path).unwrap_err(),
        ErrorKind::AlreadyExists
    ));
    let value = sample.region.object::<Data<u64>>("value").unwrap();
    value.set(&77).unwrap();
    for region in [
        Region::open(&sample.path).unwrap(),
        small()
            .size_bytes(1 << 20)
            .open_or_create(&sample.path)
            .unwrap(),
        Region::from_fd(
            File::options()
                .read(true)
                .write(true)
                .open(&sample.path)
                .unwrap()
                .into(),
        )
        .unwrap(),
    ] {
        assert_eq!(region.size_bytes().unwrap(), 128 << 10);
        assert_eq!(
            region
                .open_object::<Data<u64>>("value")
                .unwrap()
                .get()
                .unwrap(),
            77
        );
    }
    let missing = sample.folder.path().join("missing");
    assert!(is_io(
        &Region::open(&missing).unwrap_err(),
        ErrorKind::NotFound
    ));
    assert!(is_io(
        &Region::observe(&missing).unwrap_err(),
        ErrorKind::NotFound
    ));
    let nowhere = sample.folder.path().join("no/folder");
    assert!(is_io(
        &small().open_or_create(nowhere).unwrap_err(),
        ErrorKind::NotFound
    ));
}

fn of_many_that_make_it_one_does() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("region");
        let region = || small().open_or_create(&path).unwrap();
        let regions: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(region)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        regions[0]
            .object::<Data<u32>>("it")
            .unwrap()
            .set(&3)
            .unwrap();
        for region in &regions {
            assert_eq!(
                region
                    .open_object::<Data<u32>>("it")
                    .unwrap()
                    .get()
                    .unwrap(),
                3
            );
        }
        assert_eq!(names_in(folder.path()), ["region"]);
    }
}

fn options_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("region");
    for options in [
        small().participants(0),
        small().participants(5000),
        small().threads(1),
        small().threads(70_000),
        small().objects(0),
        small().objects(u32::MAX),
        small().size_bytes(0),
        small().size_bytes(4096),
        small().size_bytes(5 << 20),
        small().size_bytes(u64::MAX),
        small().capacity_bytes(0),
        small().capacity_bytes(MOST_BYTES + 1),
        small().mode(0o400),
        small().mode(0o700),
        small().mode(0o606),
        small().mode(0o620),
    ] {
        let error = options.create(&path).unwrap_err();
        assert!(
            matches!(error, Error::Options { .. }),
            "{options:?}: {error}"
        );
        assert!(options.anonymous().is_err());
        assert!(names_in(folder.path()).is_empty());
    }
}

fn permissions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("region");
    // The mode is what was asked for, whatever the umask.
    let options = small().mode(0o666).allow_shared_writers(true);
    drop(options.create(&path).unwrap());
    for mode in [0o666, 0o620, 0o602] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = Region::open(&path).unwrap_err();
        assert!(
            matches!(error, Error::Untrusted { mode: found, .. } if found == mode),
            "{error}"
        );
        drop(options.open(&path).unwrap());
        drop(Region::observe(&path).unwrap());
    }
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    drop(Region::open(&path).unwrap());

    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(Region::open(&link), Err(Error::Io { .. })));
    assert!(matches!(Region::observe(&link), Err(Error::Io { .. })));
    assert!(small().open_or_create(&link).is_err());

    // Another user's, where this one may give files away.
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        let error = Region::open(&path).unwrap_err();
        assert!(
            matches!(error, Error::Untrusted { owner: 65534, .. }),
            "{error}"
        );
        drop(options.open(&path).unwrap());
    }
}

fn what_is_no_region() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    for content in [
        &b""[..],
        b"x",
        &[0; 5000],
        &[0xff; 10_000],
        b"\x89folioS\n and more",
    ] {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        for error in [
            Region::open(&file).unwrap_err(),
            Region::observe(&file).unwrap_err(),
        ] {
            assert!(matches!(error, Error::NotARegion { .. }), "{error}");
        }
        assert!(small().open_or_create(&file).is_err());
        assert_eq!(fs::read(&file).unwrap(), content);
    }
    fs::write(&file, b"\x89folioR\n and no more").unwrap();
    assert!(matches!(Region::open(&file), Err(Error::Truncated { .. })));

    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    for path in [
        folder.path(),
        Path::new("/dev/null"),
        Path::new("/dev/zero"),
        &pipe,
    ] {
        assert!(Region::open(path).is_err(), "{}", path.display());
        assert!(Region::observe(path).is_err(), "{}", path.display());
    }
}

fn in_memory() {
    let region = small().anonymous().unwrap();
    region.object::<Data<u8>>("x").unwrap().set(&5).unwrap();
    region.grow(1 << 20).unwrap();
    let file = region.as_fd().try_clone_to_owned().unwrap();
    let again = Region::from_fd(file.try_clone().unwrap()).unwrap();
    assert_eq!(again.size_bytes().unwrap(), 1 << 20);
    assert_eq!(
        again.open_object::<Data<u8>>("x").unwrap().get().unwrap(),
        5
    );
    // Nobody can take its pages away.
    assert!(rustix::fs::ftruncate(&file, 4096).is_err());
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    assert!(Region::from_fd(reader).is_err());
    let read_only: OwnedFd = File::open("/dev/null").unwrap().into();
    assert!(Region::from_fd(read_only).is_err());
}

fn observers_change_nothing() {
    let sample = Sample::new();
    let _object = sample.region.object::<Data<[u16; 5]>>("five").unwrap();
    let before = fs::read(&sample.path).unwrap();
    fs::set_permissions(&sample.path, Permissions::from_mode(0o400)).unwrap();
    let observer = Region::observe(&sample.path).unwrap();
    assert_eq!(observer.size_bytes().unwrap(), 128 << 10);
    assert_eq!(observer.path(), sample.path);
    let objects = observer.objects().unwrap();
    assert_eq!(objects, sample.region.objects().unwrap());
    assert_eq!(
        objects[0].type_name,
        "Data<u16> version 1 (10 bytes, aligned to 2)"
    );
    assert_eq!(
        (objects[0].users.as_slice(), objects[0].size_bytes),
        (&[0][..], 10)
    );
    let seen = observer.inspect().unwrap();
    assert_eq!(seen.participants.len(), 1);
    assert_eq!(seen.participants[0].pid, std::process::id());
    assert!(seen.participants[0].is_alive);
    assert_eq!(seen.heap, sample.region.check().unwrap());
    assert!(seen.locks[0].owner_tid.is_none() && seen.locks[0].name.is_empty());
    assert!(fs::read(&sample.path).unwrap() == before);
    // It sees what grows.
    sample.region.grow(1 << 20).unwrap();
    let _more = sample.region.object::<Data<[u64; 4000]>>("more").unwrap();
    assert_eq!(observer.size_bytes().unwrap(), 1 << 20);
    assert_eq!(observer.objects().unwrap().len(), 2);
    assert_eq!(
        observer.inspect().unwrap().heap,
        sample.region.check().unwrap()
    );
}

/// What runs in a process that attaches, until it is told to end.
pub(crate) fn attach(path: &Path) {
    let region = Region::open(path).unwrap();
    say("attached");
    until_told();
    drop(region);
    say("detached");
}

fn participants_come_and_go() {
    let sample = Sample::new();
    let seen = || {
        let participants = sample.region.inspect().unwrap().participants;
        participants
            .iter()
            .map(|one| (one.slot, one.is_alive))
            .collect::<Vec<_>>()
    };
    let mut children: Vec<_> = (0..3)
        .map(|_| Child::start("attach", &sample.path))
        .collect();
    for child in &mut children {
        assert_eq!(child.line(), "attached");
    }
    assert_eq!(seen(), [(0, true), (1, true), (2, true), (3, true)]);
    let again = Region::open(&sample.path).unwrap();
    assert_eq!(seen().len(), 5);
    drop(again);
    let last = children.pop().unwrap();
    assert_eq!(last.finish(), ["detached"]);
    assert_eq!(seen().len(), 3);
    children[0].kill();
    children[1].kill();
    assert_eq!(seen().iter().filter(|(_, is_alive)| *is_alive).count(), 1);
    let repaired = sample.region.repair().unwrap();
    assert_eq!(repaired.participants, 2);
    assert_eq!(seen(), [(0, true)]);
    assert_tidy(&sample.region);
}

fn zombies_are_dead() {
    let sample = Sample::new();
    drop(sample.region.object::<Data<u8>>("it").unwrap());
    let mut child = Child::start("use/it", &sample.path);
    child.line();
    child.kill_to_zombie();
    assert!(sample.region.remove("it").unwrap());
    // Its locks end with its descriptors, the last of which may close a moment after its output.
    let seen = || sample.region.inspect().unwrap().participants[1].is_alive;
    while seen() {
        thread::yield_now();
    }
    assert_eq!(sample.region.repair().unwrap().participants, 1);
    assert_eq!(assert_tidy(&sample.region).object_blocks, 0);
}

fn no_more_participants_than_slots() {
    let sample = Sample::of(&small().participants(3));
    let mut children = [(); 2].map(|()| Child::start("attach", &sample.path));
    for child in &mut children {
        child.line();
    }
    let error = Region::open(&sample.path).unwrap_err();
    assert!(
        matches!(error, Error::TooManyParticipants { limit: 3, .. }),
        "{error}"
    );
    // A dead one's slot is taken at once.
    children[1].kill();
    let _region = Region::open(&sample.path).unwrap();
    assert!(Region::open(&sample.path).is_err());
    assert_eq!(sample.region.inspect().unwrap().participants.len(), 3);
}

fn more_threads_than_records() {
    let sample = Sample::of(&small().threads(4));
    let make = |name: &str| sample.region.object::<Data<u8>>(name).map(|_| ());
    make("from the first").unwrap();
    let (told, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    thread::scope(|scope| {
        let (say, hear) = std::sync::mpsc::channel();
        for number in 0..2 {
            let (say, wait) = (say.clone(), &wait);
            scope.spawn(move || {
                make(&format!("thread {number}")).unwrap();
                say.send(()).unwrap();
                drop(say);
                let _ = wait.lock().unwrap().recv();
            });
        }
        drop(say);
        assert_eq!(hear.iter().count(), 2);
        let fourth = scope.spawn(|| make("too many")).join().unwrap();
        let error = fourth.unwrap_err();
        assert!(
            matches!(error, Error::TooManyThreads { limit: 4, .. }),
            "{error}"
        );
        drop(told);
    });
    // They have ended.
    thread::scope(|scope| scope.spawn(|| make("one more")).join().unwrap()).unwrap();
    assert_eq!(sample.region.objects().unwrap().len(), 4);
    // So have those of a process that was killed.
    let mut child = Child::start("use/from the first", &sample.path);
    child.line();
    let second = Child::start("use/from the first", &sample.path);
    drop(second);
    child.kill();
    for number in 0..8 {
        let name = format!("later {number}");
        thread::scope(|scope| scope.spawn(|| make(&name)).join().unwrap()).unwrap();
    }
    assert_tidy(&sample.region);
}

fn a_full_disk_is_an_error() {
    // Memory, of which no byte is taken before it is seen that there is not so much.
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        assert!(std::env::var_os("CI").is_none(), "there is no /dev/shm");
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    let path = folder.path().join("region");
    let disk = rustix::fs::statvfs(folder.path()).unwrap();
    let all = disk.f_blocks * disk.f_frsize;
    assert!(all > 0, "/dev/shm has a limit");
    let too_much = all + (1 << 30);
    if too_much > MOST_BYTES {
        eprintln!("skipped: regions of this program are no larger than /dev/shm");
        return;
    }
    let too_large = small().size_bytes(too_much).capacity_bytes(too_much);
    let error = too_large.create(&path).unwrap_err();
    assert!(error.is_storage_full(), "{error:?}");
    assert!(names_in(folder.path()).is_empty());

    let region = small().capacity_bytes(too_much).create(&path).unwrap();
    let before = region.check().unwrap();
    let error = region.grow(too_much).unwrap_err();
    assert!(error.is_storage_full(), "{error:?}");
    assert_eq!(region.check().unwrap(), before);
    region.object::<Data<[u64; 100]>>("small").unwrap();
    assert_tidy(&region);
}

/// A process of its own meets it, since all of the address space is in use by then.
fn no_address_space_left() {
    let folder = tempfile::tempdir().unwrap();
    Child::start("fill", folder.path()).finish();
}

/// What cannot be mapped was not made.
pub(crate) fn fill(folder: &Path) {
    let options = small().capacity_bytes(MOST_BYTES);
    let mut regions = Vec::new();
    let error = loop {
        let count = regions.len();
        assert!(count < 3, "all of the address space is twice this, at most");
        match options.create(folder.join(format!("region {count}"))) {
            Ok(region) => regions.push(region),
            Err(error) => break error,
        }
    };
    assert!(is_io(&error, ErrorKind::OutOfMemory), "{error:?}");
    assert_eq!(names_in(folder).len(), regions.len());
}

fn is_io(error: &Error, kind: ErrorKind) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == kind)
}

/// Opens a file to change it behind a region's back.
pub(crate) fn open_file(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap()
}
