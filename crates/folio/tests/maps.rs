//! Maps of files that change under them, whole sequences of operations.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]
#![expect(clippy::cast_possible_truncation, reason = "patterns of bytes")]

#[path = "maps/model.rs"]
mod model;

/// Numbers that look random, the same in every run (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[test]
fn random_operations_match_a_vector() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..1500 {
        let len = 20 + (random.next() >> 16) % 400;
        let input: Vec<u8> = (0..len).map(|_| (random.next() >> 32) as u8).collect();
        model::run(&input);
    }
}
