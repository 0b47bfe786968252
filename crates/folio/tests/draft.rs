//! Drafts, against a plain `Vec<u8>` to which the same is done.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use folio::{Draft, Error, FaultPolicy, Map, ReadAt};

fn page() -> usize {
    rustix::param::page_size()
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(word).unwrap() % limit.max(1)
    }
}

fn journal_of(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    path.with_file_name(format!("{name}.draft-journal"))
}

fn all_of(bytes: &impl ReadAt) -> Vec<u8> {
    let mut all = vec![0; usize::try_from(bytes.len()).unwrap()];
    bytes.read_exact_at(0, &mut all).unwrap();
    all
}

#[test]
fn drafts_hold_what_is_written_and_files_what_is_committed() {
    for folder in [env!("CARGO_TARGET_TMPDIR"), "/dev/shm"] {
        for policy in [FaultPolicy::Handler, FaultPolicy::Syscall] {
            let Ok(folder) = tempfile::tempdir_in(folder) else {
                continue;
            };
            let path = folder.path().join("file");
            let mut committed: Vec<u8> = (0..=250).cycle().take(40 * page() + 99).collect();
            fs::write(&path, &committed).unwrap();
            let reader = Map::open(&path).unwrap();
            let mut model = committed.clone();
            let mut dirty = BTreeSet::new();
            let mut draft = Draft::open_with(&path, policy).unwrap();
            let mut numbers = Numbers(77);
            for _ in 0..400 {
                match numbers.below(20) {
                    0 => {
                        let found = draft.commit().unwrap();
                        assert_eq!(found.page_count(), dirty.len() as u64);
                        committed.clone_from(&model);
                        dirty.clear();
                    }
                    1 => {
                        draft.discard().unwrap();
                        model.clone_from(&committed);
                        dirty.clear();
                    }
                    2 => {
                        drop(draft);
                        assert!(!journal_of(&path).exists());
                        model.clone_from(&committed);
                        dirty.clear();
                        draft = Draft::open_with(&path, policy).unwrap();
                        assert!(!draft.recovered());
                    }
                    3..=5 => assert!(all_of(&draft) == model),
                    _ => {
                        let at = numbers.below(model.len() + 9);
                        let len = numbers.below([9, 100, 3 * page()][at % 3]);
                        let bytes = vec![u8::try_from(len % 251).unwrap(); len];
                        let written = draft.write_all_at(at as u64, &bytes);
                        let fits = at + len <= model.len();
                        assert_eq!(written.is_ok(), fits);
                        if fits && len > 0 {
                            model[at..at + len].copy_from_slice(&bytes);
                            dirty.extend(at / page()..(at + len).div_ceil(page()));
                        }
                    }
                }
                let found = draft.dirty().unwrap();
                let pages: BTreeSet<_> = found
                    .ranges()
                    .flat_map(|run| {
                        let first = usize::try_from(run.start).unwrap() / page();
                        first..usize::try_from(run.end).unwrap().div_ceil(page())
                    })
                    .collect();
                assert_eq!(pages, dirty);
                assert!(all_of(&reader) == committed);
            }
        }
    }
}

#[test]
fn one_draft_at_a_time_by_whatever_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&path, b"hello, world").unwrap();
    symlink("file", &link).unwrap();
    let mut draft = Draft::open(&link).unwrap();
    let refused = Draft::open(&path).unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }), "{refused:?}");
    draft.put(0, b"HELLO").unwrap();
    draft.commit().unwrap();
    assert!(journal_of(&path).exists() && !journal_of(&link).exists());
    drop(draft);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    assert_eq!(fs::read(&path).unwrap(), b"HELLO, world");
    drop(Draft::open(&path).unwrap());
}

#[test]
fn what_is_no_file_or_no_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    assert!(matches!(Draft::open(&path), Err(Error::Io { .. })));
    assert!(Draft::open(folder.path()).is_err());
    assert!(matches!(
        Draft::open("/dev/null"),
        Err(Error::Unsupported { .. })
    ));
    fs::write(&path, b"").unwrap();
    let mut empty = Draft::open(&path).unwrap();
    assert!(empty.commit().unwrap().is_empty());
    assert!(matches!(empty.put(0, &1_u8), Err(Error::OutOfRange { .. })));
    drop(empty);
    // A folder in the journal's place, or a link to something of somebody's.
    fs::create_dir(journal_of(&path)).unwrap();
    assert!(Draft::open(&path).is_err());
    fs::remove_dir(journal_of(&path)).unwrap();
    symlink("/etc/passwd", journal_of(&path)).unwrap();
    assert!(Draft::open(&path).is_err());
    fs::remove_file(journal_of(&path)).unwrap();
    // Rubbish is what a commit leaves that was killed early.
    fs::write(journal_of(&path), vec![7; 100_000]).unwrap();
    assert!(!Draft::open(&path).unwrap().recovered());
    assert!(!journal_of(&path).exists());
}

#[test]
fn a_commit_that_fails_before_it_is_recorded_leaves_all_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, vec![b'.'; 50_000]).unwrap();
    let mut draft = Draft::open(&path).unwrap();
    draft.put(20_000, b"new").unwrap();
    fs::create_dir(journal_of(&path)).unwrap();
    assert!(matches!(draft.commit(), Err(Error::Io { .. })));
    assert_eq!(fs::read(&path).unwrap(), vec![b'.'; 50_000]);
    assert_eq!(draft.get::<[u8; 3]>(20_000).unwrap(), *b"new");
    fs::remove_dir(journal_of(&path)).unwrap();
    assert_eq!(draft.commit().unwrap().page_count(), 1);
    assert_eq!(fs::read(&path).unwrap()[20_000..20_003], *b"new");
    // Nor is a file committed to that is not as long as it was.
    draft.put(0, b"new").unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(60_000)
        .unwrap();
    assert!(matches!(draft.commit(), Err(Error::Unsupported { .. })));
}

#[test]
fn a_draft_does_not_grow_and_is_opened_anew_when_its_file_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, vec![b'.'; 5000]).unwrap();
    let mut draft = Draft::open(&path).unwrap();
    draft.put(4000, b"first").unwrap();
    draft.commit().unwrap();
    // Bytes that the last page has room for are not the file's either.
    for (offset, len) in [(4999, 2), (5000, 1), (8191, 1), (u64::MAX, 1), (0, 5001)] {
        let refused = draft.write_all_at(offset, &vec![b'x'; len]).unwrap_err();
        assert!(
            matches!(refused, Error::OutOfRange { offset: at, size: 5000, .. } if at == offset),
            "{refused:?}"
        );
    }
    assert!(draft.dirty().unwrap().is_empty());
    draft.put(4999, &b'!').unwrap();

    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(20_000).unwrap();
    let refused = draft.commit().unwrap_err();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("length has changed"),
        "{refused}"
    );
    assert_eq!((draft.len(), draft.get::<u8>(4999).unwrap()), (5000, b'!'));
    // As a process leaves it that is killed: with the journal of the commit that was done, and of another length.
    let journal = fs::read(journal_of(&path)).unwrap();
    drop(draft);
    fs::write(journal_of(&path), journal).unwrap();

    let mut draft = Draft::open(&path).unwrap();
    assert!(!draft.recovered());
    draft.put(19_995, b"grown").unwrap();
    draft.commit().unwrap();
    drop(draft);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 20_000);
    assert_eq!((&bytes[4000..4005], bytes[4999]), (&b"first"[..], b'.'));
    assert_eq!((bytes[5000], &bytes[19_995..]), (0, &b"grown"[..]));
}

#[test]
fn holes_are_filled_where_they_are_written_to_and_stay_elsewhere() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("sparse");
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let mut draft = Draft::open(&path).unwrap();
    for round in 1..3_u8 {
        for at in [0, 500_000_000, (1 << 30) - 1] {
            draft.put(at, &round).unwrap();
            assert_eq!(draft.commit().unwrap().page_count(), 1);
            assert_eq!(draft.get::<u8>(at).unwrap(), round);
        }
    }
    let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap());
    assert!(blocks * 512 < 1 << 20, "{blocks} blocks");
}

#[test]
fn a_journal_of_another_file_is_kept_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("file"), folder.path().join("other"));
    fs::write(&path, vec![1; 50_000]).unwrap();
    fs::write(&other, vec![1; 50_000]).unwrap();
    let mut draft = Draft::open(&path).unwrap();
    draft.put(20_000, b"new").unwrap();
    // As it is while the commit is under way; when it is done, its header is void.
    draft.commit().unwrap();
    let mut journal = fs::read(journal_of(&path)).unwrap();
    assert_eq!(journal[..64], [0; 64]);
    // A later version's is left alone.
    journal[..8].copy_from_slice(b"FOLIODJ\0");
    journal[8] = 2;
    fs::write(journal_of(&other), &journal).unwrap();
    let refused = Draft::open(&other).unwrap_err();
    assert!(matches!(refused, Error::Journal { .. }), "{refused:?}");
    assert!(journal_of(&other).exists());
}
