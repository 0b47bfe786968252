//! What one process has checked, no other checks that was forked after the table was opened.
//! Forking needs a process of one thread, so this test has no harness.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::cell::Cell;

use folio::ReadAt;
use folio_sys::process::{Fork, fork};
use folio_table::{Builder, Checked, Table, Verify};
use rustix::process::{WaitOptions, waitpid};

const PAGE: usize = 4096;

/// Bytes that count how often a whole page of them is read, as one does to check it.
struct Counted {
    bytes: Vec<u8>,
    pages: Cell<u32>,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        ReadAt::len(&self.bytes)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> folio::Result<usize> {
        if buf.len() == PAGE {
            self.pages.set(self.pages.get() + 1);
        }
        self.bytes.read_at(offset, buf)
    }
}

/// Looks all keys up, and says how many pages were checked for it.
fn look(table: &Table<Checked<Counted>>) -> u32 {
    let pages = &table.bytes().unchecked().pages;
    pages.set(0);
    for n in 0..1000_u32 {
        let found = table.get(&n.to_be_bytes()).unwrap();
        assert_eq!(found.as_deref(), Some(n.to_string().as_bytes()));
    }
    pages.get()
}

fn main() {
    let mut builder = Builder::new();
    for n in 0..1000_u32 {
        builder
            .add(1, &n.to_be_bytes(), n.to_string().as_bytes())
            .unwrap();
    }
    let counted = Counted {
        bytes: builder.to_vec().unwrap(),
        pages: Cell::new(0),
    };
    let options = Table::options().verify(Verify::Touch);
    let table = options.from_bytes(counted, "counted").unwrap();
    match fork().unwrap() {
        Fork::Child => {
            let checked = look(&table);
            std::process::exit(i32::from(checked > 0));
        }
        Fork::Parent(child) => {
            let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
            assert_eq!(status.exit_status(), Some(1), "the child checked some");
            assert_eq!(look(&table), 0, "and its parent none of them again");
        }
    }
    println!("fork: ok");
}
