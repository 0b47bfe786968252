//! Sample data: the same records on every machine.
//!
//! A million user profiles, for trying a server without data of one's own. Every
//! field comes from a fixed hash of the record's number, so that two machines build
//! the same file, byte for byte.

use std::io::Write as _;

/// How many records there are.
pub const COUNT: u32 = 1_000_000;

/// Replaces `key` and `value` by those of record `index`.
///
/// Keys are `user:` and seven digits, so that they sort by index; values are JSON
/// objects of some 100 bytes. Any index makes a record; the sample is `0..COUNT`.
///
/// ```
/// use folio_server::sample;
///
/// let (mut key, mut value) = (Vec::new(), Vec::new());
/// sample::record(42, &mut key, &mut value);
/// assert_eq!(key, b"user:0000042");
/// assert!(value.starts_with(br#"{"id":42,"name":""#));
/// assert!(sample::COUNT == 1_000_000);
/// ```
pub fn record(index: u32, key: &mut Vec<u8>, value: &mut Vec<u8>) {
    let hash = mix(u64::from(index));
    let first = pick(&FIRST_NAMES, hash);
    let last = pick(&LAST_NAMES, hash >> 8);
    let city = pick(&CITIES, hash >> 16);
    let cents = (hash >> 24) % 1_000_000;
    let active = (hash >> 48) % 8 != 0;

    key.clear();
    value.clear();
    // Writing to a Vec does not fail.
    let _ = write!(key, "user:{index:07}");
    let _ = write!(
        value,
        r#"{{"id":{index},"name":"{first} {last}","email":"{}.{}{index}@example.com","city":"{city}","balance":{}.{:02},"active":{active}}}"#,
        first.to_ascii_lowercase(),
        last.to_ascii_lowercase(),
        cents / 100,
        cents % 100,
    );
}

/// All records of the sample, in key order.
///
/// ```
/// let (key, value) = folio_server::sample::records().nth(7).unwrap();
/// assert_eq!(key, b"user:0000007");
/// assert!(value.ends_with(b"}"));
/// ```
#[must_use]
pub fn records() -> impl ExactSizeIterator<Item = (Vec<u8>, Vec<u8>)> {
    // An ExactSizeIterator cannot be had over u32 where usize may be 16 bits wide,
    // which the standard library provides for; this range is far below that bound.
    (0..COUNT as usize).map(|index| {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        record(u32::try_from(index).unwrap_or(COUNT), &mut key, &mut value);
        (key, value)
    })
}

fn pick<'a>(names: &[&'a str; 16], hash: u64) -> &'a str {
    let index = usize::try_from(hash % 16).unwrap_or_default();
    names.get(index).copied().unwrap_or_default()
}

/// The finalizer of splitmix64 (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", 2014), applied to the `index`th state.
fn mix(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const FIRST_NAMES: [&str; 16] = [
    "Ada", "Bela", "Chen", "Dora", "Emil", "Farah", "Goran", "Hana", "Ivan", "Jun", "Kofi", "Lena",
    "Maya", "Nils", "Olga", "Priya",
];

const LAST_NAMES: [&str; 16] = [
    "Adler", "Bauer", "Costa", "Diaz", "Evans", "Fischer", "Gupta", "Haas", "Ito", "Jansen",
    "Kovacs", "Lind", "Moreau", "Novak", "Okafor", "Park",
];

const CITIES: [&str; 16] = [
    "Accra", "Berlin", "Cusco", "Dakar", "Esbjerg", "Fez", "Graz", "Hanoi", "Izmir", "Jena",
    "Kyoto", "Lisbon", "Mumbai", "Narvik", "Oslo", "Porto",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_same_everywhere() {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        record(999_999, &mut key, &mut value);
        assert_eq!(key, b"user:0999999");
        assert_eq!(String::from_utf8_lossy(&value), PINNED);
    }

    #[test]
    fn is_about_a_hundred_bytes() {
        let total: usize = records().take(10_000).map(|(_, value)| value.len()).sum();
        assert!((90..130).contains(&(total / 10_000)), "{}", total / 10_000);
        assert_eq!(records().len(), COUNT as usize);
    }

    #[test]
    fn comes_in_key_order() {
        let keys: Vec<_> = records().step_by(997).map(|(key, _)| key).collect();
        assert!(keys.is_sorted());
    }

    const PINNED: &str = r#"{"id":999999,"name":"Bela Adler","email":"bela.adler999999@example.com","city":"Fez","balance":3471.77,"active":true}"#;
}
