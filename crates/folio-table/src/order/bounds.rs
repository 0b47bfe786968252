//! Ranges of keys.

use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// A range of keys: any of Rust's ranges, over whatever has bytes; `..` is all of them.
///
/// ```
/// # let table = folio_table::Table::from_bytes(folio_table::Builder::new().to_vec()?, "none")?;
/// use std::ops::Bound;
///
/// table.count_range(..)?;
/// table.count_range("a".."b")?;
/// table.count_range(b"a".as_slice()..)?;
/// table.count_range(..=vec![0xff, 0xff])?;
/// table.count_range((Bound::Excluded("a"), Bound::Unbounded))?;
/// # Ok::<(), folio_table::Error>(())
/// ```
pub trait KeyRange {
    /// Where it begins.
    fn start(&self) -> Bound<&[u8]>;
    /// Where it ends.
    fn end(&self) -> Bound<&[u8]>;
}

/// The first key that is above all that begin with `prefix`, if there is one.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix.get(..=kept)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

impl KeyRange for RangeFull {
    fn start(&self) -> Bound<&[u8]> {
        Bound::Unbounded
    }

    fn end(&self) -> Bound<&[u8]> {
        Bound::Unbounded
    }
}

macro_rules! range {
    ($range:ty, $from:pat => $start:expr, $to:pat => $end:expr) => {
        impl<K: AsRef<[u8]>> KeyRange for $range {
            fn start(&self) -> Bound<&[u8]> {
                let $from = self;
                $start
            }

            fn end(&self) -> Bound<&[u8]> {
                let $to = self;
                $end
            }
        }
    };
}

use Bound::{Excluded, Included, Unbounded};

range!(
    Range<K>,
    range => Included(range.start.as_ref()),
    range => Excluded(range.end.as_ref())
);
range!(RangeFrom<K>, range => Included(range.start.as_ref()), _ => Unbounded);
range!(RangeTo<K>, _ => Unbounded, range => Excluded(range.end.as_ref()));
range!(
    RangeInclusive<K>,
    range => Included(range.start().as_ref()),
    range => Included(range.end().as_ref())
);
range!(RangeToInclusive<K>, _ => Unbounded, range => Included(range.end.as_ref()));
range!((Bound<K>, Bound<K>), (start, _) => bound(start), (_, end) => bound(end));

fn bound<K: AsRef<[u8]>>(bound: &Bound<K>) -> Bound<&[u8]> {
    bound.as_ref().map(AsRef::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_after_a_prefix() {
        for (prefix, after) in [
            (&b""[..], None),
            (b"a", Some(&b"b"[..])),
            (b"a\xff", Some(b"b")),
            (b"a\xff\xff", Some(b"b")),
            (b"\xfe", Some(b"\xff")),
            (b"\xff", None),
            (b"\xff\xff", None),
            (b"\xff\x00", Some(b"\xff\x01")),
        ] {
            assert_eq!(after_prefix(prefix).as_deref(), after, "{prefix:?}");
        }
    }
}
