//! Checkpoints, restored at each point of a chain.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use folio::{Checkpoint, Error, Map, MapMut, ReadAt};

fn page() -> u64 {
    rustix::param::page_size() as u64
}

fn all_of(map: &MapMut) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(map.len()).unwrap()];
    map.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

/// A chain of a full copy and some deltas, and what the map was at each.
struct Chain {
    folder: tempfile::TempDir,
    files: Vec<PathBuf>,
    states: Vec<Vec<u8>>,
}

fn chain() -> Chain {
    let folder = tempfile::tempdir().unwrap();
    let map = Map::options()
        .reserve(400 * page())
        .anonymous(100 * page() + 17)
        .unwrap();
    let path = |n: usize| folder.path().join(n.to_string());
    for at in [0, 9, 10, 50, 99] {
        map.write_all_at(at * page() + 3, &[7; 2000]).unwrap();
    }
    let mut checkpoint = Checkpoint::full(&map, path(0)).unwrap();
    let mut states = vec![all_of(&map)];
    for delta in 1..6_u64 {
        for at in 0..delta {
            map.put(
                (at * 31 % 100) * page() + 100,
                &[u8::try_from(delta).unwrap(); 900],
            )
            .unwrap();
        }
        if delta == 2 {
            // What was something and is zero now is no hole.
            map.write_all_at(9 * page() + 3, &[0; 2000]).unwrap();
        }
        if delta == 3 {
            map.grow(300 * page() + 5).unwrap();
            map.put(200 * page(), b"grown").unwrap();
        }
        let path = path(usize::try_from(delta).unwrap());
        let summary = checkpoint.delta(&path).unwrap();
        assert_eq!(summary.sequence, delta);
        assert_eq!(summary.file_bytes, fs::metadata(&path).unwrap().len());
        assert!(summary.file_bytes < 30 * page(), "{summary:?}");
        states.push(all_of(&map));
    }
    let files = (0..6).map(path).collect();
    Chain {
        folder,
        files,
        states,
    }
}

#[test]
fn every_state_comes_back() {
    let chain = chain();
    let target = chain.folder.path().join("restored");
    for (deltas, state) in chain.states.iter().enumerate() {
        Checkpoint::restore(&chain.files[0], &chain.files[1..=deltas], &target).unwrap();
        assert!(fs::read(&target).unwrap() == *state, "{deltas} deltas");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (chain, other) = (chain(), chain());
    let target = chain.folder.path().join("restored");
    fs::write(&target, b"as it was").unwrap();
    let f = &chain.files;
    let refusals: [(&PathBuf, Vec<&PathBuf>); 8] = [
        (&f[1], vec![]),
        (&f[0], vec![&f[0]]),
        (&f[0], vec![&f[2]]),
        (&f[0], vec![&f[2], &f[1]]),
        (&f[0], vec![&f[1], &f[1]]),
        (&f[0], vec![&f[1], &f[3]]),
        (&f[0], vec![&other.files[1]]),
        (&other.files[0], vec![&f[1]]),
    ];
    for (full, deltas) in refusals {
        let refused = Checkpoint::restore(full, &deltas, &target).unwrap_err();
        assert!(matches!(refused, Error::Checkpoint { .. }), "{refused:?}");
    }
    assert!(Checkpoint::restore(&target, &[] as &[PathBuf], &target).is_err());
    assert!(Checkpoint::restore("/nowhere/at-all", &[] as &[PathBuf], &target).is_err());
    assert_eq!(fs::read(&target).unwrap(), b"as it was");
    // Nor is anything left lying around.
    assert_eq!(fs::read_dir(chain.folder.path()).unwrap().count(), 7);
}

#[test]
fn damage_is_found_wherever_it_is() {
    let chain = chain();
    let target = chain.folder.path().join("restored");
    for which in [0, 1] {
        let path = &chain.files[which];
        let whole = fs::read(path).unwrap();
        let restore = || Checkpoint::restore(&chain.files[0], &chain.files[1..2], &target);
        for at in (0..300)
            .chain((300..whole.len()).step_by(97))
            .chain(whole.len() - 30..whole.len())
        {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            fs::write(path, &damaged).unwrap();
            let refused = restore().unwrap_err();
            let expected = matches!(refused, Error::Checksum { .. } | Error::Checkpoint { .. });
            assert!(expected, "byte {at}: {refused:?}");
            fs::write(path, &whole[..at]).unwrap();
            assert!(
                matches!(restore(), Err(Error::Checkpoint { .. })),
                "cut at {at}"
            );
        }
        fs::write(path, [&whole[..], b"more"].concat()).unwrap();
        assert!(restore().is_err());
        fs::write(path, &whole).unwrap();
        restore().unwrap();
    }
}

#[test]
fn a_delta_that_fails_comes_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (full, delta) = (folder.path().join("full"), folder.path().join("delta"));
    let map = Map::options().anonymous(50 * page()).unwrap();
    let mut checkpoint = Checkpoint::full(&map, &full).unwrap();
    map.put(7 * page(), &1_u8).unwrap();
    checkpoint.delta("/nowhere/at-all/delta").unwrap_err();
    map.put(9 * page(), &1_u8).unwrap();
    assert_eq!(checkpoint.delta(&delta).unwrap().pages, 2);
    let target = folder.path().join("restored");
    Checkpoint::restore(&full, &[&delta], &target).unwrap();
    assert!(fs::read(&target).unwrap() == all_of(&map));
}

#[test]
fn what_changes_meanwhile_comes_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let map = Map::options().anonymous(500 * page()).unwrap();
    let path = |n: u32| folder.path().join(n.to_string());
    let stop = AtomicBool::new(false);
    let mut checkpoint = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut at: u64 = 1;
            while !stop.load(Ordering::Relaxed) {
                at = at.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(7);
                map.put((at >> 20) % (500 * page() - 8), &at).unwrap();
            }
        });
        let mut checkpoint = Checkpoint::full(&map, path(0)).unwrap();
        for delta in 1..10 {
            checkpoint.delta(path(delta)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        checkpoint
    });
    // The last one, when all is quiet, brings what was missed.
    checkpoint.delta(path(10)).unwrap();
    let deltas: Vec<_> = (1..=10).map(path).collect();
    let target = folder.path().join("restored");
    Checkpoint::restore(path(0), &deltas, &target).unwrap();
    assert!(fs::read(&target).unwrap() == all_of(&map));
}

#[test]
fn a_large_map_of_few_pages_takes_little_room() {
    let folder = tempfile::tempdir().unwrap();
    let map = Map::options().anonymous(20_000 * page()).unwrap();
    let full = folder.path().join("full");
    let mut checkpoint = Checkpoint::full(&map, &full).unwrap();
    assert!(fs::metadata(&full).unwrap().len() < 1000);
    for at in 0..1000 {
        map.put(at * 19 * page(), &at).unwrap();
    }
    let summary = checkpoint.delta(folder.path().join("delta")).unwrap();
    assert_eq!(summary.pages, 1000);
    assert!(
        summary.file_bytes < 1000 * (page() + 24) + 200,
        "{summary:?}"
    );
}
