//! What the file CURRENT says.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::{Error, Result};

/// The version of the folder's layout, which CURRENT begins with.
const STORE_VERSION: u32 = 1;

/// The longest text that can be one of ours, with room to spare.
pub(super) const MAX_LEN: u64 = 4096;

/// Which generation is current, and what has to be remembered beyond that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    /// The generation that readers take; 0 before the first.
    pub(super) current: u64,
    /// The one that was current when this one was published; 0 if it was not published last,
    /// but rolled back to.
    pub(super) previous: u64,
    /// The largest number that any generation ever had.
    pub(super) last: u64,
    /// How often CURRENT was replaced.
    pub(super) change: u64,
}

impl Pointer {
    /// What a store begins with.
    pub(super) const EMPTY: Self = Self {
        current: 0,
        previous: 0,
        last: 0,
        change: 0,
    };

    /// What follows when the next generation is published; `folder` is for errors.
    pub(super) fn published(&self, folder: &Path) -> Result<Self> {
        let next = one_more(self.last, folder)?;
        Ok(Self {
            current: next,
            previous: self.current,
            last: next,
            change: one_more(self.change, folder)?,
        })
    }

    /// What follows when an older generation is made current.
    pub(super) fn rolled_back_to(&self, number: u64, folder: &Path) -> Result<Self> {
        Ok(Self {
            current: number,
            previous: 0,
            last: self.last,
            change: one_more(self.change, folder)?,
        })
    }

    /// The text of the file. It has the same length for all.
    pub(super) fn to_text(&self) -> String {
        let body = self.body();
        let checksum = xxh3_64(body.as_bytes());
        format!("{body}{CHECKSUM} {checksum:016x}\n")
    }

    fn body(&self) -> String {
        let Self {
            current,
            previous,
            last,
            change,
        } = self;
        format!(
            "{MAGIC} {STORE_VERSION}\n\
             current  {current:020}\n\
             previous {previous:020}\n\
             last     {last:020}\n\
             change   {change:020}\n"
        )
    }

    /// Understands a text that is read from `path`, or says why not.
    pub(super) fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let damaged = |what| Error::damaged(path, 0, what);
        let first_line = text.split(|&byte| byte == b'\n').next();
        let version = first_line
            .and_then(|line| std::str::from_utf8(line).ok())
            .and_then(|line| line.strip_prefix(MAGIC)?.strip_prefix(' '))
            .ok_or_else(|| Error::NotAStore {
                path: path.to_owned(),
                reason: "it does not begin as a store's does",
            })?;
        let version: u32 = version
            .parse()
            .map_err(|_| damaged("a version that is no number"))?;
        if version != STORE_VERSION {
            return Err(Error::Version {
                path: path.to_owned(),
                found: version,
                supported: STORE_VERSION,
            });
        }
        let text = std::str::from_utf8(text).map_err(|_| damaged("it is not text"))?;
        let field = |name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim_start_matches(' ').parse().ok())
                .unwrap_or(0)
        };
        let pointer = Self {
            current: field("current "),
            previous: field("previous "),
            last: field("last "),
            change: field("change "),
        };
        // Whatever is not exactly what would be written for these numbers is damaged.
        if pointer.to_text() != text {
            return Err(damaged("its fields or its checksum are not as they should"));
        }
        if pointer.current > pointer.last || pointer.previous > pointer.last {
            return Err(damaged("it names a generation that there never was"));
        }
        Ok(pointer)
    }
}

const MAGIC: &str = "folio-store";
const CHECKSUM: &str = "checksum";

fn one_more(number: u64, folder: &Path) -> Result<u64> {
    let next = number.checked_add(1);
    next.ok_or_else(|| Error::damaged(folder, 0, "there is no further number for a generation"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTER: Pointer = Pointer {
        current: 4,
        previous: 2,
        last: 17,
        change: u64::MAX,
    };

    fn parse(text: &str) -> Result<Pointer> {
        Pointer::parse(text.as_bytes(), Path::new("CURRENT"))
    }

    /// The example in `docs/store.md`.
    #[test]
    fn says_what_the_documentation_says() {
        let pointer = Pointer {
            current: 7,
            previous: 6,
            last: 7,
            change: 12,
        };
        let text = "folio-store 1\n\
                    current  00000000000000000007\n\
                    previous 00000000000000000006\n\
                    last     00000000000000000007\n\
                    change   00000000000000000012\n\
                    checksum d76e29ea5bd3a3e2\n";
        assert_eq!(pointer.to_text(), text);
        assert_eq!(parse(text).unwrap(), pointer);
        assert_eq!(parse(&POINTER.to_text()).unwrap(), POINTER);
        assert_eq!(parse(&Pointer::EMPTY.to_text()).unwrap(), Pointer::EMPTY);
        assert!(POINTER.to_text().len() as u64 <= MAX_LEN);
    }

    #[test]
    fn any_change_of_the_text_is_found() {
        let text = POINTER.to_text().into_bytes();
        for at in 0..text.len() {
            assert!(Pointer::parse(&text[..at], Path::new("CURRENT")).is_err());
            for bit in 0..8 {
                let mut other = text.clone();
                other[at] ^= 1 << bit;
                let parsed = Pointer::parse(&other, Path::new("CURRENT"));
                assert!(parsed.is_err(), "bit {bit} of byte {at}");
            }
        }
        let longer = format!("{}\n", POINTER.to_text());
        assert!(matches!(parse(&longer), Err(Error::Damaged { .. })));
    }

    #[test]
    fn other_versions_and_other_files_are_told_apart() {
        let found = parse("folio-store 2\nsomething else\n");
        assert!(matches!(found, Err(Error::Version { found: 2, .. })));
        assert!(matches!(parse("hello\n"), Err(Error::NotAStore { .. })));
        assert!(matches!(parse(""), Err(Error::NotAStore { .. })));
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let pointer = Pointer { last: 3, ..POINTER };
        assert!(matches!(
            parse(&pointer.to_text()),
            Err(Error::Damaged { .. })
        ));
        let pointer = Pointer {
            last: u64::MAX,
            change: 1,
            ..POINTER
        };
        assert!(pointer.published(Path::new("s")).is_err());
        assert!(POINTER.rolled_back_to(1, Path::new("s")).is_err());
    }

    #[test]
    fn numbers_grow_after_a_rollback_too() {
        let folder = Path::new("s");
        let first = Pointer::EMPTY.published(folder).unwrap();
        let second = first.published(folder).unwrap();
        let back = second.rolled_back_to(1, folder).unwrap();
        let third = back.published(folder).unwrap();
        assert_eq!((back.current, back.previous, back.last), (1, 0, 2));
        assert_eq!((third.current, third.previous, third.last), (3, 1, 3));
        assert_eq!(third.change, 4);
    }
}
