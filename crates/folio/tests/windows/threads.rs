//! Many threads, few windows.

use std::sync::atomic::{AtomicBool, Ordering};

use folio::{Error, ReadAt, View, Windows};

use super::{Random, byte_at, bytes_at, file_of, page};

const THREADS: u64 = 4;
const READS: u64 = 10_000;

fn assert_send_and_sync<T: Send + Sync>() {}

#[test]
fn windows_and_views_cross_threads() {
    assert_send_and_sync::<Windows>();
    assert_send_and_sync::<View>();
}

/// Reads and views at random places, now and then at places near the last one.
fn use_it(
    windows: &Windows,
    seed: u64,
    size: u64,
    mut check: impl FnMut(u64, u64, Result<Vec<u8>, Error>),
) {
    let mut random = Random(seed);
    let mut views: Vec<(u64, View)> = Vec::new();
    let mut offset = 0;
    for _ in 0..READS {
        if random.below(4) == 0 {
            offset = random.below(size);
        }
        let len = (1 + random.below(200)).min(size - offset);
        let mut buf = vec![0; usize::try_from(len).unwrap()];
        match random.below(16) {
            0 => match windows.view(offset, len) {
                Ok(view) => views.push((offset, view)),
                Err(error) => check(offset, len, Err(error)),
            },
            1 if !views.is_empty() => {
                let which = usize::try_from(random.next() % views.len() as u64).unwrap();
                let (offset, view) = views.swap_remove(which);
                check(offset, view.len(), view.to_vec());
            }
            _ => {
                let read = windows.read_exact_at(offset, &mut buf);
                check(offset, len, read.map(|()| buf));
            }
        }
        views.truncate(3);
    }
}

#[test]
fn all_threads_read_what_is_there() {
    let size = 64 * page();
    for adaptive in [false, true] {
        let file = file_of(size);
        let windows = Windows::options()
            .window_bytes(4 * page())
            .budget_bytes(16 * page())
            .adaptive(adaptive)
            .open(&file)
            .unwrap();
        std::thread::scope(|scope| {
            for thread in 1..=THREADS {
                let windows = &windows;
                scope.spawn(move || {
                    use_it(windows, thread * 0x1234_5677, size, |offset, len, read| {
                        assert!(read.unwrap() == bytes_at(offset, len));
                    });
                });
            }
        });
        let stats = windows.stats();
        assert!(stats.evictions > 1000 || adaptive, "{stats:?}");
        // Nothing is pinned any more, and one read makes order.
        windows.read_exact_at(0, &mut [0]).unwrap();
        windows.read_exact_at(63 * page(), &mut [0]).unwrap();
        windows.read_exact_at(30 * page(), &mut [0]).unwrap();
        assert!(
            windows.stats().mapped_bytes <= 16 * page(),
            "{:?}",
            windows.stats()
        );
    }
}

#[test]
fn truncation_under_readers_is_an_error_at_most() {
    let size = 64 * page();
    let file = file_of(size);
    let windows = Windows::options()
        .window_bytes(4 * page())
        .budget_bytes(16 * page())
        .open(&file)
        .unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(99);
            while !done.load(Ordering::Relaxed) {
                // At pages' boundaries, and within; never shorter than half.
                let cut = size / 2 + random.below(size / 2 / 512) * 512;
                file.as_file().set_len(cut).unwrap();
                if random.below(4) == 0 {
                    windows.refresh_len().unwrap();
                }
                file.as_file().set_len(size).unwrap();
                windows.refresh_len().unwrap();
                std::thread::yield_now();
            }
        });
        let readers: Vec<_> = (1..=THREADS)
            .map(|thread| {
                let windows = &windows;
                scope.spawn(move || {
                    use_it(
                        windows,
                        thread * 0x7654_3211,
                        size,
                        |offset, _, read| match read {
                            // Before the cut the bytes are as they were; after it zeros came in.
                            Ok(bytes) => {
                                for (at, &byte) in (offset..).zip(&bytes) {
                                    assert!(byte == byte_at(at) || (at >= size / 2 && byte == 0));
                                }
                            }
                            Err(Error::Fault { offset: lost, .. }) => {
                                assert!(lost >= size / 2);
                            }
                            Err(Error::OutOfRange { size: short, .. }) => {
                                assert!(short < size || offset >= size / 2);
                            }
                            Err(error) => panic!("{error}"),
                        },
                    );
                })
            })
            .collect();
        for reader in readers {
            reader.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}
