//! Windows against a plain vector: any bytes are a sequence of operations, each checked.
//!
//! Used by the tests with random bytes and by the fuzzer with those that it makes up.

use std::fs::File;
use std::os::unix::fs::FileExt;

use folio::{Error, FaultPolicy, ReadAt, View, Windows};
use input::{Input, page};

#[path = "../input/mod.rs"]
mod input;

/// The file's length never exceeds this many pages.
const MOST_PAGES: u64 = 48;

/// Carries out the operations that `input` spells.
///
/// # Panics
///
/// When the windows show something else than the model.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut model = Model::new(&mut input);
    while !input.is_empty() {
        model.step(&mut input);
    }
}

struct Model {
    file: File,
    windows: Windows,
    /// What the file holds now.
    content: Vec<u8>,
    /// The length that the windows know of.
    known: u64,
    /// Each with the offset that it begins at.
    views: Vec<(u64, View)>,
    /// As long as no view was made, the budget is never exceeded.
    budget: Option<u64>,
    writes: u8,
}

impl Model {
    fn new(input: &mut Input<'_>) -> Self {
        let path = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..input.below(MOST_PAGES * page()))
            .map(|i| (i % 251) as u8)
            .collect();
        let file = path.reopen().unwrap();
        file.write_all_at(&content, 0).unwrap();
        let window = (1 + input.below(8)) * page();
        let budget = (1 + input.below(4)) * window;
        let flags = input.byte();
        let policy = if flags & 1 == 0 {
            FaultPolicy::Handler
        } else {
            FaultPolicy::Syscall
        };
        let windows = Windows::options()
            .window_bytes(window)
            .budget_bytes(budget)
            .max_windows(1 + usize::from(input.byte() % 8))
            .fault_policy(policy)
            .adaptive(flags & 2 == 0)
            .unmap_at_once(flags % 16 == 12)
            .open(&path)
            .unwrap();
        Self {
            file,
            windows,
            known: content.len() as u64,
            content,
            views: Vec::new(),
            // Windows are whole pairs of pages.
            budget: Some(budget.max(window.next_multiple_of(2 * page()))),
            writes: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..=3 => self.read_exact(input),
            4..=5 => self.read(input),
            6 => self.read_many(input),
            7..=8 => self.make_view(input),
            9..=10 => self.read_view(input),
            11 => self.drop_view(input),
            12 => self.write(input),
            13 => self.resize(input),
            _ => self.refresh(),
        }
        let stats = self.windows.stats();
        assert!(stats.mapped_bytes <= stats.peak_mapped_bytes);
        if let Some(budget) = self.budget {
            assert!(stats.peak_mapped_bytes <= budget, "{stats:?}");
        }
    }

    fn offset(&self, input: &mut Input<'_>) -> u64 {
        match input.byte() {
            255 => u64::MAX - input.below(3),
            254 => 1 << 40,
            _ => input.below(self.known + 3),
        }
    }

    fn read_exact(&mut self, input: &mut Input<'_>) {
        let (offset, len) = (self.offset(input), input.len(MOST_PAGES * page()));
        let mut buf = vec![0xA5; usize::try_from(len).unwrap()];
        let read = self.windows.read_exact_at(offset, &mut buf);
        self.check(offset, &buf, read);
    }

    fn read(&mut self, input: &mut Input<'_>) {
        let (offset, len) = (self.offset(input), input.len(MOST_PAGES * page()));
        let mut buf = vec![0xA5; usize::try_from(len).unwrap()];
        let there = self.known.saturating_sub(offset).min(len);
        match self.windows.read_at(offset, &mut buf) {
            Ok(count) => {
                assert_eq!(count as u64, there);
                buf.truncate(count);
                self.check(offset.min(self.known), &buf, Ok(()));
            }
            Err(error) => {
                buf.truncate(usize::try_from(there).unwrap());
                self.check(offset, &buf, Err(error));
            }
        }
    }

    /// Many small reads here and there, which may make it give up mapping, or begin again.
    fn read_many(&mut self, input: &mut Input<'_>) {
        let (mut offset, stride) = (input.below(self.known), input.below(self.known));
        for _ in 0..input.byte() {
            let len = self.known.saturating_sub(offset).min(8);
            let mut buf = vec![0xA5; usize::try_from(len).unwrap()];
            let read = self.windows.read_exact_at(offset, &mut buf);
            self.check(offset, &buf, read);
            offset = (offset + stride) % self.known.max(1);
        }
    }

    /// A read of `buf` through the windows, against what the file holds.
    fn check(&self, offset: u64, buf: &[u8], read: Result<(), Error>) {
        let len = buf.len() as u64;
        match read {
            Err(Error::OutOfRange { size, .. }) => {
                assert_eq!(size, self.known);
                assert!(
                    offset > size || len > size - offset,
                    "{offset} {len} {size}"
                );
            }
            Err(Error::Fault { offset: lost, .. }) => self.check_loss(offset, len, lost),
            Ok(()) => {
                assert!(offset <= self.known && len <= self.known - offset);
                self.check_bytes(offset, buf);
            }
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }

    /// A byte that is reported as lost must be, and be among those asked for.
    fn check_loss(&self, offset: u64, len: u64, lost: u64) {
        let size = self.content.len() as u64;
        assert!(lost >= size, "byte {lost} is there: the file has {size}");
        assert!(
            (offset..offset + len).contains(&lost),
            "{lost} {offset} {len}"
        );
    }

    /// Bytes of the file are the file's; those after its end are zeros, up to the page's.
    fn check_bytes(&self, offset: u64, buf: &[u8]) {
        let size = self.content.len() as u64;
        let present = usize::try_from(size.saturating_sub(offset)).unwrap();
        let (there, lost) = buf.split_at(present.min(buf.len()));
        if !there.is_empty() {
            let start = usize::try_from(offset).unwrap();
            assert!(
                there == &self.content[start..start + there.len()],
                "at {offset}"
            );
        }
        if !lost.is_empty() {
            assert!(offset + buf.len() as u64 <= size.next_multiple_of(page()));
            assert!(
                lost.iter().all(|&byte| byte == 0),
                "after the end, at {offset}"
            );
        }
    }

    fn make_view(&mut self, input: &mut Input<'_>) {
        self.budget = None;
        let (offset, len) = (self.offset(input), input.len(MOST_PAGES * page()));
        match self.windows.view(offset, len) {
            Ok(view) => {
                assert!(offset <= self.known && len <= self.known - offset);
                assert_eq!(view.len(), len);
                if self.views.len() == 8 {
                    self.views.remove(0);
                }
                self.views.push((offset, view));
            }
            Err(error) => self.check(offset, &vec![0; usize::try_from(len).unwrap()], Err(error)),
        }
    }

    fn read_view(&mut self, input: &mut Input<'_>) {
        let which = usize::from(input.byte()) % self.views.len().max(1);
        let Some((start, view)) = self.views.get(which) else {
            return;
        };
        let within = input.below(view.len() + 1);
        let mut buf = vec![0xA5; usize::try_from(input.len(MOST_PAGES * page())).unwrap()];
        let offset = start + within;
        let there = (view.len() - within).min(buf.len() as u64);
        match view.read_at(within, &mut buf) {
            Ok(count) => {
                let size = self.content.len() as u64;
                // Short only if it is read by system calls and the file is short.
                let is_short = count as u64 == size.saturating_sub(offset);
                assert!(count as u64 == there || (is_short && (count as u64) < there));
                self.check_bytes(offset, &buf[..count]);
            }
            Err(Error::Fault { offset: lost, .. }) => self.check_loss(offset, there, lost),
            Err(error) => panic!("{error}"),
        }
    }

    fn drop_view(&mut self, input: &mut Input<'_>) {
        if !self.views.is_empty() {
            let which = usize::from(input.byte()) % self.views.len();
            self.views.swap_remove(which);
        }
    }

    fn write(&mut self, input: &mut Input<'_>) {
        let size = self.content.len() as u64;
        let offset = input.below(size);
        let len = input.len(MOST_PAGES * page()).min(size - offset);
        self.writes = self.writes.wrapping_add(1);
        let range = usize::try_from(offset).unwrap()..usize::try_from(offset + len).unwrap();
        self.content[range.clone()].fill(self.writes);
        self.file
            .write_all_at(&self.content[range], offset)
            .unwrap();
    }

    /// Makes the file shorter or longer; the windows are not told.
    fn resize(&mut self, input: &mut Input<'_>) {
        let size = input.below(MOST_PAGES * page());
        self.file.set_len(size).unwrap();
        self.content.resize(usize::try_from(size).unwrap(), 0);
    }

    fn refresh(&mut self) {
        self.known = self.content.len() as u64;
        assert_eq!(self.windows.refresh_len().unwrap(), self.known);
        assert_eq!(self.windows.len(), self.known);
    }
}
