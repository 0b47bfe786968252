//! Regions whose file is cut short while they are open.

use folio_ipc::{Data, Error, Region};

use crate::Test;
use crate::opening::open_file;
use crate::sample::Sample;

pub(crate) const TESTS: &[Test] = &[
    ("cut_short_while_open", cut_short_while_open),
    (
        "cut_short_before_it_is_opened",
        cut_short_before_it_is_opened,
    ),
];

#[track_caller]
fn assert_lost<T>(result: Result<T, Error>) {
    match result {
        Err(Error::Lost { .. }) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("no error"),
    }
}

fn cut_short_while_open() {
    for len in [0, 4096, 8192, 12 << 10, 20 << 10, 24 << 10] {
        let sample = Sample::new();
        let region = &sample.region;
        let observer = Region::observe(&sample.path).unwrap();
        let value = region.object::<Data<[u64; 1000]>>("value").unwrap();
        value.set(&[7; 1000]).unwrap();
        open_file(&sample.path).set_len(len).unwrap();
        // Whatever touches what is gone finds it out, without a signal; from then on, everything does.
        let error = value.get().unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{len}: {error}");
        assert_lost(value.get());
        assert_lost(value.set(&[1; 1000]));
        assert_lost(region.object::<Data<u8>>("new"));
        assert_lost(region.open_object::<Data<[u64; 1000]>>("value"));
        assert_lost(region.remove("value"));
        assert_lost(region.objects());
        assert_lost(region.inspect());
        assert_lost(region.check());
        assert_lost(region.repair());
        assert_lost(region.size_bytes());
        assert_lost(region.grow(1 << 20));
        assert!(observer.inspect().is_err());
        assert!(matches!(
            Region::open(&sample.path),
            Err(Error::Truncated { .. } | Error::NotARegion { .. })
        ));
    }
}

fn cut_short_before_it_is_opened() {
    let sample = Sample::new();
    let _value = sample.region.object::<Data<u64>>("value").unwrap();
    drop(sample.region);
    let file = open_file(&sample.path);
    for len in [(128 << 10) - 1, 100_000, 8192, 4096, 4095, 100, 8] {
        file.set_len(len).unwrap();
        for error in [
            Region::open(&sample.path).unwrap_err(),
            Region::observe(&sample.path).unwrap_err(),
        ] {
            assert!(
                matches!(error, Error::Truncated { found, .. } if found == len),
                "{error}"
            );
        }
    }
}
