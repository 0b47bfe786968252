//! What tells one type from another.

use std::fmt;

use xxhash_rust::const_xxh3::xxh3_64_with_seed;

/// What an object's type is, as far as its bytes are concerned.
///
/// It is written into the region when an object is made, and compared whenever a process
/// asks for that object: two programs that disagree about a type do not share an object of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// What kind of object it is: `Mutex`, `Ring`, ….
    pub family: &'static str,
    /// The name of the payload's type; empty where there is no payload.
    pub payload: &'static str,
    /// The version of the payload's type.
    pub version: u32,
    /// The size of a payload in bytes.
    pub size_bytes: usize,
    /// The alignment of a payload in bytes.
    pub align: usize,
}

impl Fingerprint {
    /// The fingerprint of an object without payload.
    #[must_use]
    pub const fn bare(family: &'static str) -> Self {
        Self {
            family,
            payload: "",
            version: 0,
            size_bytes: 0,
            align: 1,
        }
    }

    /// The fingerprint of an object that holds `T`s.
    #[must_use]
    pub const fn of<T: crate::Payload>(family: &'static str) -> Self {
        Self {
            family,
            payload: T::NAME,
            version: T::VERSION,
            size_bytes: size_of::<T>(),
            align: align_of::<T>(),
        }
    }

    /// All of it in 64 bits, by XXH3.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        let seed = xxh3_64_with_seed(self.family.as_bytes(), 0);
        let seed = xxh3_64_with_seed(self.payload.as_bytes(), seed);
        let seed = xxh3_64_with_seed(&self.version.to_le_bytes(), seed);
        let seed = xxh3_64_with_seed(&(self.size_bytes as u64).to_le_bytes(), seed);
        xxh3_64_with_seed(&(self.align as u64).to_le_bytes(), seed)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            family,
            payload,
            version,
            size_bytes,
            align,
        } = self;
        if payload.is_empty() {
            return write!(f, "{family}");
        }
        write!(
            f,
            "{family}<{payload}> version {version} ({size_bytes} bytes, aligned to {align})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let first = Fingerprint::of::<u32>("Mutex");
        assert_eq!(first.hash(), Fingerprint::of::<u32>("Mutex").hash());
        let others = [
            Fingerprint::bare("Mutex"),
            Fingerprint::of::<u32>("RwLock"),
            Fingerprint::of::<i32>("Mutex"),
            Fingerprint {
                version: 9,
                ..first
            },
            Fingerprint {
                size_bytes: 8,
                ..first
            },
            Fingerprint { align: 8, ..first },
        ];
        for other in others {
            assert_ne!(first.hash(), other.hash(), "{other}");
        }
        assert_eq!(
            first.to_string(),
            "Mutex<u32> version 1 (4 bytes, aligned to 4)"
        );
        assert_eq!(Fingerprint::bare("Event").to_string(), "Event");
    }
}
