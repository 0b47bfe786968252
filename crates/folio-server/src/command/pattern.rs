//! Patterns for keys, as Redis has them.
//!
//! `*` stands for any bytes, `?` for any one byte, `[a-cx]` for one of a set, `[^a]` for one that is
//! not in the set, and `\` takes the byte after it as it is.

use std::borrow::Cow;

use folio::ReadAt;
use folio_table::{Scan, Table};

/// A pattern, and what it tells of the keys that it stands for.
#[derive(Debug)]
pub(super) struct Pattern<'p> {
    bytes: &'p [u8],
    /// What all of the keys begin with.
    prefix: Cow<'p, [u8]>,
    rest: Rest,
}

/// What a pattern has after its prefix.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing: it stands for one key.
    Nothing,
    /// One `*`: it stands for all keys with the prefix.
    Anything,
    /// Something to be compared with each key.
    Pattern,
}

impl<'p> Pattern<'p> {
    pub(super) fn new(bytes: &'p [u8]) -> Self {
        let (prefix, rest) = split(bytes);
        let rest = match rest {
            [] => Rest::Nothing,
            b"*" => Rest::Anything,
            _ => Rest::Pattern,
        };
        Self {
            bytes,
            prefix,
            rest,
        }
    }

    /// The keys of a table that it may stand for: those with its prefix.
    pub(super) fn candidates<'t, B: ReadAt>(
        &self,
        table: &'t Table<B>,
    ) -> folio_table::Result<Scan<'t, B>> {
        let prefix = &*self.prefix;
        match self.rest {
            Rest::Nothing => table.scan(prefix..=prefix),
            Rest::Anything | Rest::Pattern => table.scan_prefix(prefix),
        }
    }

    /// Whether it stands for one of these keys.
    pub(super) fn matches(&self, key: &[u8]) -> bool {
        self.rest != Rest::Pattern || matches(self.bytes, key)
    }
}

/// What a pattern begins with that stands for itself, and the rest of it.
fn split(pattern: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    let end = pattern.iter().position(special).unwrap_or(pattern.len());
    let (plain, mut rest) = pattern.split_at_checked(end).unwrap_or((pattern, &[]));
    if !rest.starts_with(b"\\") {
        return (Cow::Borrowed(plain), rest);
    }
    let mut prefix = plain.to_vec();
    loop {
        rest = match rest {
            [b'\\', byte, after @ ..] => {
                prefix.push(*byte);
                after
            }
            [byte, after @ ..] if !special(byte) || rest.len() == 1 && *byte == b'\\' => {
                prefix.push(*byte);
                after
            }
            _ => return (Cow::Owned(prefix), rest),
        };
    }
}

/// Whether a pattern stands for all of a text.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut text) = (pattern, text);
    // Where to go on when the text after the last `*` turns out to be another.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (rest, text) {
            ([b'*', after @ ..], _) => {
                retry = Some((after, text));
                rest = after;
                continue;
            }
            ([], []) => return true,
            ([_, ..], [byte, left @ ..]) => {
                let (is_matched, after) = matches_one(rest, *byte);
                if is_matched {
                    (rest, text) = (after, left);
                    continue;
                }
            }
            _ => {}
        }
        match retry {
            // The last `*` takes one byte more.
            Some((after, [_, left @ ..])) => {
                retry = Some((after, left));
                (rest, text) = (after, left);
            }
            _ => return false,
        }
    }
}

/// Whether what a pattern begins with stands for a byte, and what of it follows.
fn matches_one(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    match pattern {
        [b'?', after @ ..] => (true, after),
        [b'[', b'^', set @ ..] => {
            let (is_in, after) = set_has(set, byte);
            (!is_in, after)
        }
        [b'[', set @ ..] => set_has(set, byte),
        [b'\\', escaped, after @ ..] => (*escaped == byte, after),
        [plain, after @ ..] => (*plain == byte, after),
        [] => (false, &[]),
    }
}

/// Whether a set, whose `[` was passed, has a byte, and what follows it. A set that does not end
/// ends with the pattern.
fn set_has(mut set: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut found = false;
    loop {
        set = match set {
            [] => return (found, &[]),
            [b'\\', escaped, after @ ..] => {
                found |= *escaped == byte;
                after
            }
            [b']', after @ ..] => return (found, after),
            [first, b'-', last, after @ ..] => {
                found |= (*first.min(last)..=*first.max(last)).contains(&byte);
                after
            }
            [plain, after @ ..] => {
                found |= *plain == byte;
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_redis() {
        // Each row was answered by a Redis server, version 7.0.
        for (pattern, key, expected) in [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("user:*", "user:1", true),
            ("user:*", "user", false),
            ("user:[0-4]?", "user:37", true),
            ("user:[9-6]", "user:7", true),
            ("a\\", "a\\", true),
            ("*[^[*", "][bb", true),
            ("???*[^", "aa[[", true),
            ("?^-*", "]^-b", true),
            ("**\\^*[-", "^b-", true),
            ("*?[\\]b", "b\\b", true),
            ("b**??\\", "bac\\", true),
            ("*-]]", "cb-]]", true),
            ("][a-*[^-", "][", true),
            ("]][?-ca", "]]c", true),
            ("a*\\]?*?", "ab]aa", true),
            ("\\b**", "ba", true),
            ("*[^?*a]", "[^a\\", true),
            ("**[^a[", "cc-", true),
            ("???*[^", "[b^ab", true),
            ("[*b[]*", "[]-", true),
            ("[\\^^b[]?", "b-", true),
            ("*][^b", "][", true),
            ("]*]?", "]c[]b", true),
            ("][\\*-a", "]a", true),
            ("][\\*-a", "]-", true),
            ("c]a[^^]", "b\\b", false),
            ("[^?a", "a\\-", false),
            ("[\\[-*[", "\\^c[", false),
            ("a?[--^", "b]", false),
            ("^a\\[]-", "[]-", false),
            ("*[\\??^a", "aa\\[[", false),
            ("cb*]*?", "a[[\\^", false),
            ("[?[]]]*]", "c]", false),
            ("[a??][", "ba-^]", false),
            ("-b??b", "^ac", false),
            ("^ab]*b", "-b", false),
            ("?*-a^\\a\\", "]\\", false),
            ("]]^b?]c[", "aa]\\]", false),
            ("[]?[*[]?", "b^", false),
            ("b?[]\\aab", "\\[]", false),
            ("b*?b[]", "bcaaa", false),
            ("-*]]-?c", "b-^bc", false),
            ("**]a\\", "[^a\\", false),
            ("\\*[]\\", "\\^ab", false),
            ("?]a]\\*", "aa[[", false),
        ] {
            let (bytes, key) = (pattern.as_bytes(), key.as_bytes());
            assert_eq!(matches(bytes, key), expected, "{pattern}");
            // The shortcuts come to the same.
            let compiled = Pattern::new(bytes);
            let candidate = match compiled.rest {
                Rest::Nothing => key == &*compiled.prefix,
                _ => key.starts_with(&compiled.prefix),
            };
            assert_eq!(candidate && compiled.matches(key), expected, "{pattern}");
        }
    }

    #[test]
    fn what_all_keys_begin_with() {
        for (pattern, prefix, rest) in [
            ("user:*", "user:", Rest::Anything),
            ("*", "", Rest::Anything),
            ("user:1", "user:1", Rest::Nothing),
            ("", "", Rest::Nothing),
            ("a?", "a", Rest::Pattern),
            ("a[b]", "a", Rest::Pattern),
            ("a**", "a", Rest::Pattern),
            ("\\*a\\?b*c", "*a?b", Rest::Pattern),
            ("a\\*", "a*", Rest::Nothing),
            ("a\\", "a\\", Rest::Nothing),
            ("\\a\\", "a\\", Rest::Nothing),
        ] {
            let compiled = Pattern::new(pattern.as_bytes());
            assert_eq!(*compiled.prefix, *prefix.as_bytes(), "{pattern}");
            assert_eq!(compiled.rest, rest, "{pattern}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "a*".repeat(500) + "b";
        assert!(!matches(pattern.as_bytes(), &vec![b'a'; 20_000]));
    }
}
