//! A table that something happened to: cut short, added to, bits flipped.

use folio_table::{Error, Table};

use crate::small::{self, PAGE, Section, field};
use crate::uses::{use_all, use_batches, use_order};

type OverBytes<'a> = Table<&'a [u8]>;

fn open(bytes: &[u8]) -> folio_table::Result<OverBytes<'_>> {
    Table::from_bytes(bytes, "small")
}

#[test]
fn cut_short_anywhere() {
    for bytes in small::tables() {
        cut_short_anywhere_in(&bytes);
    }
}

fn cut_short_anywhere_in(bytes: &[u8]) {
    for len in 0..bytes.len() {
        let error = open(&bytes[..len]).unwrap_err();
        let message = error.to_string();
        match len {
            0 => assert_eq!(message, "small: empty file: not a folio table"),
            1..8 => assert_eq!(message, "small: shorter than a header: not a folio table"),
            8..PAGE => {
                let expected =
                    format!("small: 4096 bytes expected, but the file has {len}: it was cut short");
                assert_eq!(message, expected);
            }
            _ => {
                let whole = bytes.len();
                let expected = format!(
                    "small: {whole} bytes expected, but the file has {len}: it was cut short"
                );
                assert_eq!(message, expected);
            }
        }
    }
}

#[test]
fn added_to() {
    let mut bytes = small::table();
    let len = bytes.len();
    bytes.push(0);
    let expected = format!(
        "small: {len} bytes expected, but the file has {}: it was added to",
        len + 1
    );
    assert_eq!(open(&bytes).unwrap_err().to_string(), expected);
}

#[test]
fn other_files() {
    for bytes in [
        &b"\x89PNG\r\n\x1a\n"[..],
        &[0; 10_000],
        b"short text",
        &[b'x'; 5000],
    ] {
        let error = open(bytes).unwrap_err();
        assert!(matches!(error, Error::NotATable { .. }), "{error}");
    }
    // Line ends changed by a transfer in text mode.
    let text = small::table();
    let text: Vec<_> = text.into_iter().filter(|byte| *byte != b'\r').collect();
    assert!(matches!(open(&text), Err(Error::NotATable { .. })));
}

#[test]
fn any_flipped_bit_of_header_and_footer_is_seen_when_opening() {
    for bytes in small::tables() {
        flip_any_bit_of_header_and_footer(bytes);
    }
}

fn flip_any_bit_of_header_and_footer(mut bytes: Vec<u8>) {
    let footer = bytes.len() - small::FOOTER;
    for at in (0..PAGE).chain(footer..bytes.len()) {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            // The checksum of the checksums section is for verifying, and has its own.
            let error = open(&bytes).unwrap_err();
            match at {
                0..8 => assert!(matches!(error, Error::NotATable { .. }), "{error}"),
                8..PAGE => assert!(
                    matches!(error, Error::Checksum { what: "header", .. }),
                    "{error}"
                ),
                _ => assert!(
                    matches!(error, Error::Checksum { what: "footer", .. }),
                    "{error}"
                ),
            }
            bytes[at] ^= 1 << bit;
        }
    }
    open(&bytes).unwrap().verify(|_| ()).unwrap();
}

#[test]
fn any_flipped_byte_elsewhere_is_seen_when_verifying_and_stops_no_use() {
    for bytes in small::tables() {
        flip_any_byte_elsewhere(bytes);
    }
}

fn flip_any_byte_elsewhere(mut bytes: Vec<u8>) {
    let footer = bytes.len() - small::FOOTER;
    let sums = small::range(&bytes, Section::Sums).start;
    for at in PAGE..footer {
        bytes[at] ^= 1 << (at % 8);
        let table = open(&bytes).unwrap();
        match table.verify(|_| ()).unwrap_err() {
            Error::Checksum { what, offset, .. } if at < sums => {
                assert_eq!((what, offset), ("page", (at - at % PAGE) as u64));
            }
            Error::Checksum { what, offset, .. } => {
                assert_eq!((what, offset), ("checksums section", sums as u64));
            }
            other => panic!("byte {at}: {other}"),
        }
        if bytes[at] != 1 << (at % 8) {
            // It was not just padding.
            use_all(&table);
            if at % 5 == 0 {
                use_order(&table);
            }
            if at % 32 == 0 {
                use_batches(&table);
            }
        }
        bytes[at] ^= 1 << (at % 8);
    }
}

#[test]
fn another_version_is_named() {
    let mut bytes = small::table();
    small::set_u32(&mut bytes, field::VERSION, 7);
    small::mend_header(&mut bytes);
    let error = open(&bytes).unwrap_err().to_string();
    assert_eq!(
        error,
        "small: format version 7, but this build reads version 1 only"
    );
}

#[test]
fn a_footer_of_another_table_is_seen() {
    let mut bytes = small::table();
    small::set_u64(&mut bytes, field::SEED, 1);
    let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..field::CHECKSUM]);
    small::set_u64(&mut bytes, field::CHECKSUM, sum);
    let error = open(&bytes).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the footer belongs to another header"),
        "{error}"
    );
}
