//! The pairs that are looked up: the keys of `redis-benchmark`, with a JSON object for each.

/// Long enough for every key.
pub(super) const KEY_LEN: usize = 16;

/// `key:` and twelve digits, as `redis-benchmark -r` makes them.
#[inline]
pub(super) fn key(number: u64) -> [u8; KEY_LEN] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key.iter_mut().skip(4).rev() {
        *digit = b"0123456789"
            .get(usize::try_from(rest % 10).unwrap_or_default())
            .copied()
            .unwrap_or(b'0');
        rest /= 10;
    }
    key
}

/// Some 100 bytes.
pub(super) fn value(number: u64) -> Vec<u8> {
    let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "{{\"id\":{number},\"name\":\"user {number}\",\"email\":\"user{number}@example.com\",\"token\":\"{place:016x}\"}}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_redis_benchmark() {
        assert_eq!(&key(0), b"key:000000000000");
        assert_eq!(&key(42), b"key:000000000042");
        assert_eq!(&key(999_999), b"key:000000999999");
    }

    #[test]
    fn values_are_some_100_bytes() {
        for number in [0, 42, 999_999] {
            assert!(
                (70..130).contains(&value(number).len()),
                "{}",
                value(number).len()
            );
        }
    }
}
