//! What a builder refuses, and the files that it writes.

use std::fs;
use std::path::Path;

use folio_table::{Builder, Error, MAX_KEY_LEN, OnDuplicate, SectionKind, Table};

use crate::random::Random;

mod model;

fn builder(keys: &[&str]) -> Builder {
    let mut builder = Builder::new();
    for (line, key) in (1..).zip(keys) {
        builder.add(line, key.as_bytes(), b"value").unwrap();
    }
    builder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn lengths_of_keys() {
    let mut builder = Builder::new();
    let error = builder.add(3, b"", b"value").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3: a key of 0 bytes: keys have 1 to 65536 bytes"
    );
    let error = builder.add(4, &vec![1; MAX_KEY_LEN + 1], b"").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 4: a key of 65537 bytes: keys have 1 to 65536 bytes"
    );
    builder.add(5, &vec![1; MAX_KEY_LEN], b"").unwrap();
    let table = Table::from_bytes(builder.to_vec().unwrap(), "t").unwrap();
    assert_eq!(table.count(), 1);
}

#[test]
fn the_earliest_repetition_is_named() {
    let error = builder(&["b", "z", "a", "z", "a", "z"])
        .to_vec()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 4: duplicate key \"z\", first given on line 2"
    );
    let mut builder = Builder::new();
    let key = [b"\xff\n\"".as_slice(), &[b'x'; 1000]].concat();
    builder.add(70, &key, b"").unwrap();
    builder.add(80, &key, b"").unwrap();
    let error = builder.to_vec().unwrap_err().to_string();
    let start = format!(
        "line 80: duplicate key \"\\xff\\n\\\"{}…\", first",
        "x".repeat(77)
    );
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn duplicates_leave_no_trace() {
    let mut once = Builder::new();
    once.add(1, b"a", b"1").unwrap();
    once.add(2, b"b", b"2").unwrap();
    let once = once.to_vec().unwrap();
    for choice in [OnDuplicate::First, OnDuplicate::Last] {
        let mut builder = Builder::new().on_duplicate(choice);
        let (kept, dropped) = (b"1".as_slice(), b"dropped".as_slice());
        let last = choice == OnDuplicate::Last;
        for (line, value) in [
            (1, if last { dropped } else { kept }),
            (3, dropped),
            (4, if last { kept } else { dropped }),
        ] {
            builder.add(line, b"a", value).unwrap();
        }
        builder.add(2, b"b", b"2").unwrap();
        assert!(builder.to_vec().unwrap() == once, "{choice:?}");
    }
}

#[test]
fn a_file_is_what_a_vector_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.folio");
    fs::write(&path, "what was there").unwrap();
    let info = builder(&["b", "a"]).write_to(&path).unwrap();
    assert_eq!(
        fs::read(&path).unwrap(),
        builder(&["a", "b"]).to_vec().unwrap()
    );
    assert_eq!(names(folder.path()), ["t.folio"]);

    let table = Table::open(&path).unwrap();
    assert_eq!(table.info(), &info);
    assert_eq!(table.name(), path);
    assert_eq!(table.get(b"a").unwrap().unwrap(), b"value");
    table.verify(|_| ()).unwrap();
    assert_eq!(info.file_len, fs::metadata(&path).unwrap().len());
}

#[test]
fn an_error_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.folio");
    builder(&["a", "b", "a"]).write_to(&path).unwrap_err();
    assert!(names(folder.path()).is_empty());

    fs::write(&path, "what was there").unwrap();
    builder(&["a", "b", "a"]).write_to(&path).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"what was there");
    assert_eq!(names(folder.path()), ["t.folio"]);
}

#[test]
fn places_that_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let error = builder(&["a"]).write_to(folder.path()).unwrap_err();
    let path = folder.path().display();
    assert_eq!(
        error.to_string(),
        format!("{path}: cannot write a table there: it is a folder")
    );
    for path in ["", "/", ".."] {
        let error = builder(&["a"]).write_to(Path::new(path)).unwrap_err();
        assert!(matches!(error, Error::Target { .. }), "{error}");
    }
    let error = builder(&["a"])
        .write_to(&folder.path().join("none/t"))
        .unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = builder(&["a"]).write_to(&file.join("t")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(names(folder.path()), ["file"]);
}

#[cfg(unix)]
#[test]
fn devices_are_not_replaced_and_links_stay() {
    let null = Path::new("/dev/null");
    let error = builder(&["a"]).write_to(null).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/dev/null: cannot write a table there: it is not a regular file"
    );
    assert!(!fs::metadata(null).unwrap().is_file());

    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::write(&real, "old").unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();
    builder(&["a"]).write_to(&link).unwrap();
    assert!(link.is_symlink());
    assert_eq!(Table::open(&link).unwrap().count(), 1);
    assert!(!real.is_symlink());
    assert_eq!(names(folder.path()), ["link", "real"]);
}

#[cfg(unix)]
#[test]
fn the_mode_is_that_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (table, other) = (folder.path().join("table"), folder.path().join("other"));
    builder(&["a"]).write_to(&table).unwrap();
    fs::write(&other, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&table), mode(&other));
}

#[test]
fn what_is_no_file_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Table::open(folder.path()), Err(Error::Bytes(_))));
    assert!(matches!(
        Table::open(folder.path().join("none")),
        Err(Error::Bytes(_))
    ));
    let empty = folder.path().join("empty");
    fs::write(&empty, "").unwrap();
    let error = Table::open(&empty).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{}: empty file: not a folio table", empty.display())
    );
    #[cfg(unix)]
    {
        let error = Table::open("/dev/null").unwrap_err().to_string();
        assert_eq!(error, "/dev/null: not a regular file: not a folio table");
    }
}

/// A file cut short under its table gives errors, and then the answers come again.
#[cfg(target_os = "linux")]
#[test]
fn truncated_while_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    let mut builder = Builder::new();
    for number in 0..10_000_u32 {
        builder
            .add(0, &number.to_be_bytes(), b"some value or other")
            .unwrap();
    }
    builder.write_to(&path).unwrap();
    let table = Table::open(&path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(8192).unwrap();
    let lost = (0..10_000_u32).filter(|number| match table.get(&number.to_be_bytes()) {
        Ok(value) => panic!("{value:?} from a page that is gone"),
        Err(error) => error.is_fault(),
    });
    assert_eq!(lost.count(), 10_000);
    assert!(table.verify(|_| ()).unwrap_err().is_fault());
    assert!(
        table
            .iter()
            .any(|record| record.is_err_and(|error| error.is_fault()))
    );
}

#[test]
fn overhead_is_at_most_ten_bytes_a_key() {
    let mut random = Random::new(1);
    let mut builder = Builder::new();
    for line in 0..100_000 {
        let (key, value) = (format!("{:016x}", random.next()), random.bytes(32));
        builder.add(line, key.as_bytes(), &value).unwrap();
    }
    let table = Table::from_bytes(builder.to_vec().unwrap(), "t").unwrap();
    let info = table.info();
    assert!(info.overhead_bytes() <= 10.0, "{}", info.overhead_bytes());
    assert!((0.84..0.86).contains(&info.load()), "{}", info.load());
    assert!(
        (2..10).contains(&info.longest_probe),
        "{}",
        info.longest_probe
    );
    assert_eq!(info.section_len(SectionKind::Records), 100_000 * 50);
}

#[test]
fn tables_are_shared_between_threads() {
    fn shared<T: Send + Sync + std::fmt::Debug>(_: &T) {}
    let table = Table::from_bytes(builder(&["a"]).to_vec().unwrap(), "t").unwrap();
    shared(&table);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert!(table.contains(b"a").unwrap()));
        }
    });
}

/// What the fuzz target `builds` does, with random bytes, and with such that make sense more often.
#[test]
fn random_inputs() {
    let mut random = Random::new(1);
    for round in 0..600 {
        let len = random.below(1 + round * 5);
        let mut input = random.bytes(len);
        if round % 2 == 0 {
            let alphabet = b"aab\t\n\n,\"{}:key1";
            for byte in input.iter_mut().skip(2) {
                *byte = alphabet[usize::from(*byte) % alphabet.len()];
            }
        }
        model::run(&input);
    }
}
