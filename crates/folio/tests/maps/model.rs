//! Maps of a file against a plain vector: any bytes are a sequence of operations, each checked.
//!
//! Used by the tests with random bytes and by the fuzzer with those that it makes up.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use folio::{
    Advice, Error, FaultPolicy, HugePages, Map, MapMut, MapOptions, Protection, ReadAt, View,
};
use input::{Input, page};
use tempfile::NamedTempFile;

#[path = "../input/mod.rs"]
mod input;

/// The file's length never exceeds this many pages.
const MOST_PAGES: u64 = 48;

/// Carries out the operations that `input` spells.
///
/// # Panics
///
/// When the maps show something else than the model.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut model = Model::new(&mut input);
    while !input.is_empty() {
        model.step(&mut input);
    }
    let file = std::fs::read(&model.path).unwrap();
    assert!(file == model.content, "the file is not what was written");
}

struct Model {
    path: NamedTempFile,
    file: File,
    map: MapMut,
    /// Where in the file the map begins.
    start: u64,
    /// What the file holds now.
    content: Vec<u8>,
    /// Whether something was written after the end of the file, into the rest of its last page:
    /// it is lost, or comes back when the file grows, as the system likes.
    tail_is_written: bool,
    /// What was made of the map, or of the file, and has to stay right: each with the
    /// offset in the file that it begins at.
    others: Vec<(u64, Other)>,
    writes: u8,
}

/// Another sight of the same bytes.
enum Other {
    View(View),
    Map(Arc<Map>),
}

impl Other {
    fn len(&self) -> u64 {
        match self {
            Self::View(view) => view.len(),
            Self::Map(map) => map.len(),
        }
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        match self {
            Self::View(view) => view.read_at(offset, buf),
            Self::Map(map) => map.read_at(offset, buf),
        }
    }

    fn part(&self, offset: u64, len: u64) -> Result<View, Error> {
        match self {
            Self::View(view) => view.part(offset, len),
            Self::Map(map) => map.view(offset, len),
        }
    }
}

impl Model {
    fn new(input: &mut Input<'_>) -> Self {
        let path = new_file(input);
        let size = input.below(MOST_PAGES * page());
        let content: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let file = path.reopen().unwrap();
        file.write_all_at(&content, 0).unwrap();
        let start = input.below(size + 2);
        let len = input.below(size + 2);
        let options = options(input).offset(start);
        let (start, map) = match options.clone().len(len).open_mut(&path) {
            Ok(map) => {
                assert!(start <= size && len <= size - start);
                assert_eq!(map.len(), len);
                (start, map)
            }
            Err(Error::OutOfRange { size: found, .. }) => {
                assert_eq!(found, size);
                assert!(start > size || len > size - start);
                let start = start.min(size);
                (start, options.offset(start).open_mut(&path).unwrap())
            }
            Err(error) => fail(&error),
        };
        Self {
            path,
            file,
            map,
            start,
            content,
            tail_is_written: false,
            others: Vec::new(),
            writes: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0 | 1 => self.write(input),
            2 | 3 => self.read(input),
            4 => self.read_exact(input),
            5 => self.make_view(input),
            6 => self.make_map(input),
            7 | 8 => self.read_other(input),
            9 => self.grow(input),
            10 => self.flush(input),
            11 => self.advise(input),
            12 => self.protect(input),
            13 => self.resize(input),
            14 => self.write_to_the_file(input),
            _ => self.drop_other(input),
        }
        assert!(self.map.len() <= self.map.capacity());
    }

    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    /// The first byte that no map has: pages are lost whole.
    fn lost_from(&self) -> u64 {
        self.size().next_multiple_of(page())
    }

    /// An offset in the map, or near it, or nowhere.
    fn offset(&self, input: &mut Input<'_>) -> u64 {
        match input.byte() {
            255 => u64::MAX - input.below(3),
            254 => 1 << 40,
            _ => input.below(self.map.len() + 3),
        }
    }

    fn has(&self, offset: u64, len: u64) -> bool {
        let size = self.map.len();
        offset <= size && len <= size - offset
    }

    fn write(&mut self, input: &mut Input<'_>) {
        let (offset, len) = (self.offset(input), len(input));
        self.writes = self.writes.wrapping_add(1);
        let bytes = vec![self.writes; usize::try_from(len).unwrap()];
        let written = match self.map.write_all_at(offset, &bytes) {
            Ok(()) => {
                assert!(self.has(offset, len));
                assert!(len == 0 || self.map.protection() == Protection::ReadWrite);
                len
            }
            Err(Error::Unsupported { .. }) => {
                assert_eq!(self.map.protection(), Protection::ReadOnly);
                return;
            }
            Err(Error::OutOfRange { size, .. }) => {
                assert_eq!(size, self.map.len());
                assert!(!self.has(offset, len));
                return;
            }
            Err(Error::Fault { offset: lost, .. }) => {
                let at = self.start + offset;
                self.check_loss(at, len, lost);
                lost - at
            }
            Err(error) => fail(&error),
        };
        if written > 0 {
            self.was_written(self.start + offset, written);
        }
    }

    /// Takes note that a map has written so many bytes at an offset of the file.
    fn was_written(&mut self, at: u64, len: u64) {
        let (size, end) = (self.size(), at + len);
        assert!(end <= self.lost_from());
        self.tail_is_written |= end > size;
        if at < size {
            let range = usize::try_from(at).unwrap()..usize::try_from(end.min(size)).unwrap();
            self.content[range].fill(self.writes);
        }
    }

    fn read(&mut self, input: &mut Input<'_>) {
        let (offset, len) = (self.offset(input), len(input));
        let mut buf = vec![0xA5; usize::try_from(len).unwrap()];
        let there = self.map.len().saturating_sub(offset).min(len);
        let read = self.map.read_at(offset, &mut buf);
        self.check(self.start.saturating_add(offset), there, &buf, read);
    }

    fn read_exact(&mut self, input: &mut Input<'_>) {
        let (offset, len) = (self.offset(input), len(input));
        let mut buf = vec![0xA5; usize::try_from(len).unwrap()];
        match self.map.read_exact_at(offset, &mut buf) {
            Err(Error::OutOfRange { size, .. }) => {
                assert_eq!(size, self.map.len());
                assert!(!self.has(offset, len));
            }
            read => {
                assert!(self.has(offset, len));
                self.check(self.start + offset, len, &buf, read.map(|()| buf.len()));
            }
        }
    }

    /// A read of `there` bytes at an offset of the file, against what that holds.
    fn check(&self, at: u64, there: u64, buf: &[u8], read: Result<usize, Error>) {
        match read {
            Ok(count) => {
                assert_eq!(count as u64, there);
                self.check_bytes(at, &buf[..count]);
            }
            Err(Error::Fault { offset: lost, .. }) => self.check_loss(at, there, lost),
            Err(error) => fail(&error),
        }
    }

    /// The byte that is reported as lost must be the first that is.
    fn check_loss(&self, at: u64, len: u64, lost: u64) {
        assert_eq!(lost, at.max(self.lost_from()));
        assert!((at..at + len).contains(&lost), "{lost} {at} {len}");
    }

    /// Bytes of the file are the file's; those after its end are zeros, up to the page's.
    fn check_bytes(&self, at: u64, buf: &[u8]) {
        let present = usize::try_from(self.size().saturating_sub(at)).unwrap();
        let (there, rest) = buf.split_at(present.min(buf.len()));
        if !there.is_empty() {
            let start = usize::try_from(at).unwrap();
            assert!(
                there == &self.content[start..start + there.len()],
                "at {at}"
            );
        }
        if !rest.is_empty() {
            assert!(at + buf.len() as u64 <= self.lost_from());
            let is_zero = rest.iter().all(|&byte| byte == 0);
            assert!(is_zero || self.tail_is_written, "after the end, at {at}");
        }
    }

    fn make_view(&mut self, input: &mut Input<'_>) {
        let (offset, len) = (self.offset(input), len(input));
        let view = self.map.view(offset, len);
        assert_eq!(view.is_ok(), self.has(offset, len));
        if let Ok(view) = view {
            assert_eq!(view.len(), len);
            self.keep(self.start + offset, Other::View(view));
        }
    }

    /// Maps some of the file again, to be read.
    fn make_map(&mut self, input: &mut Input<'_>) {
        let (offset, len) = (self.offset(input), len(input));
        let past_end = input.byte() % 4 == 0;
        let options = options(input).offset(offset).len(len).past_end(past_end);
        let is_inside = offset <= self.size() && len <= self.size() - offset;
        match options.open(&self.path) {
            Ok(map) => {
                assert!(past_end || is_inside);
                assert_eq!(map.len(), len);
                self.keep(offset, Other::Map(Arc::new(map)));
            }
            Err(Error::OutOfRange { size, .. }) => {
                assert_eq!(size, self.size());
                assert!(!is_inside);
                assert!(!past_end || offset.checked_add(len).is_none());
            }
            // A page to be populated is lost, or no file has such offsets.
            Err(Error::Io { .. }) => assert!(past_end && !is_inside),
            Err(error) => fail(&error),
        }
    }

    fn keep(&mut self, at: u64, other: Other) {
        if self.others.len() == 8 {
            self.others.remove(0);
        }
        self.others.push((at, other));
    }

    fn read_other(&mut self, input: &mut Input<'_>) {
        let which = usize::from(input.byte()) % self.others.len().max(1);
        let Some((at, other)) = self.others.get(which) else {
            return;
        };
        let offset = input.below(other.len() + 3);
        let wanted = len(input);
        let mut buf = vec![0xA5; usize::try_from(wanted).unwrap()];
        let there = other.len().saturating_sub(offset).min(wanted);
        let read = other.read_at(offset, &mut buf);
        self.check(at.saturating_add(offset), there, &buf, read);
        let part = other.part(offset, wanted);
        assert_eq!(part.is_ok(), offset <= other.len() && there == wanted);
        if let Ok(part) = part {
            let (at, read) = (at + offset, part.to_vec());
            let bytes = read.as_ref().map_or(&[][..], Vec::as_slice);
            self.check(at, wanted, bytes, read.as_ref().map(Vec::len).map_err(copy));
        }
    }

    fn drop_other(&mut self, input: &mut Input<'_>) {
        if !self.others.is_empty() {
            let which = usize::from(input.byte()) % self.others.len();
            self.others.swap_remove(which);
        }
    }

    fn grow(&mut self, input: &mut Input<'_>) {
        let old_len = self.map.len();
        let len = match input.byte() {
            255 => u64::MAX - input.below(3),
            byte => (old_len + input.below(4 * page())).saturating_sub(u64::from(byte % 8)),
        };
        match self.map.grow(len) {
            Ok(()) => {
                assert!(len <= self.map.capacity());
                assert_eq!(self.map.len(), old_len.max(len));
                if len > old_len && self.start + len > self.size() {
                    self.was_resized(self.start + len);
                }
            }
            Err(Error::NoRoom { capacity, .. }) => {
                assert_eq!(capacity, self.map.capacity());
                assert!(len > capacity);
            }
            Err(error) => fail(&error),
        }
    }

    fn flush(&mut self, input: &mut Input<'_>) {
        let (offset, len) = (self.offset(input), len(input));
        let Some(end) = offset.checked_add(len) else {
            return;
        };
        let flushed = match input.byte() % 4 {
            0 => self.map.flush(offset..end),
            _ => self.map.flush_async(offset..end),
        };
        assert_eq!(flushed.is_ok(), self.has(offset, len));
    }

    fn advise(&mut self, input: &mut Input<'_>) {
        let (offset, len) = (self.offset(input), len(input));
        let Some(end) = offset.checked_add(len) else {
            return;
        };
        let all = [
            Advice::Normal,
            Advice::Random,
            Advice::Sequential,
            Advice::WillNeed,
            Advice::Populate,
            Advice::Cold,
            Advice::PageOut,
            Advice::DontNeed,
        ];
        let advice = all[usize::from(input.byte()) % all.len()];
        match self.map.advise(offset..end, advice) {
            Ok(()) => assert!(self.has(offset, len)),
            Err(Error::OutOfRange { .. }) => assert!(!self.has(offset, len)),
            // Not known to the kernel, or a page to be populated is lost.
            Err(Error::Io { source, .. }) => assert!(
                source.kind() == std::io::ErrorKind::Unsupported
                    || (advice == Advice::Populate && self.start + end > self.lost_from()),
                "{advice:?}: {source}"
            ),
            Err(error) => fail(&error),
        }
    }

    fn protect(&mut self, input: &mut Input<'_>) {
        let protection = match input.byte() % 3 {
            0 => Protection::ReadOnly,
            _ => Protection::ReadWrite,
        };
        self.map.protect(protection).unwrap();
        assert_eq!(self.map.protection(), protection);
    }

    /// Makes the file shorter or longer; the maps are not told.
    fn resize(&mut self, input: &mut Input<'_>) {
        let size = match input.byte() % 4 {
            0 => input.below(MOST_PAGES * page()),
            1 => self.size().saturating_sub(input.below(page())),
            2 => (self.size() + input.below(page())).min(MOST_PAGES * page()),
            _ => input.below(MOST_PAGES) * page(),
        };
        self.file.set_len(size).unwrap();
        self.was_resized(size);
    }

    /// Takes note that the file has this length now.
    fn was_resized(&mut self, size: u64) {
        let (old_size, old_end) = (self.size(), self.lost_from());
        self.content.resize(usize::try_from(size).unwrap(), 0);
        if size > old_size && self.tail_is_written {
            // What was written after the end is the file's now, if the system kept it.
            let start = usize::try_from(old_size).unwrap();
            let end = usize::try_from(old_end.min(size)).unwrap();
            let kept = &mut self.content[start..end];
            self.file.read_exact_at(kept, old_size).unwrap();
        }
        // A cut zeroes the rest of the page; so does a page that is new.
        let is_same_page = size >= old_size && self.lost_from() == old_end;
        self.tail_is_written &= is_same_page;
    }

    fn write_to_the_file(&mut self, input: &mut Input<'_>) {
        let offset = input.below(self.size() + 1);
        let len = len(input).min(self.size() - offset);
        self.writes = self.writes.wrapping_add(1);
        let range = usize::try_from(offset).unwrap()..usize::try_from(offset + len).unwrap();
        self.content[range.clone()].fill(self.writes);
        let bytes = &self.content[range];
        self.file.write_all_at(bytes, offset).unwrap();
    }
}

/// An empty file: mostly in memory, which is fast, and sometimes on a disk, which is not.
fn new_file(input: &mut Input<'_>) -> NamedTempFile {
    let mut folder = PathBuf::from("/dev/shm");
    if input.byte() % 8 == 0 || !folder.is_dir() {
        folder = std::env::temp_dir();
    }
    NamedTempFile::new_in(folder).unwrap()
}

fn options(input: &mut Input<'_>) -> MapOptions {
    let flags = input.byte();
    let mut options = Map::options().populate(flags & 3 == 3);
    if flags & 4 == 0 {
        options = options.reserve(input.below(2 * MOST_PAGES * page()));
    }
    if flags & 8 == 0 {
        options = options.fault_policy(FaultPolicy::Syscall);
    }
    if flags & 0x30 == 0 {
        options = options.huge_pages(HugePages::Transparent);
    }
    if flags & 0xc0 == 0 {
        options = options.advice(Advice::Random);
    }
    options
}

fn len(input: &mut Input<'_>) -> u64 {
    input.len(MOST_PAGES * page())
}

/// The same fault again, for another judge.
fn copy(error: &Error) -> Error {
    match error {
        Error::Fault { path, offset } => Error::Fault {
            path: path.clone(),
            offset: *offset,
        },
        error => fail(error),
    }
}

fn fail(error: &Error) -> ! {
    panic!("{error}: {:?}", std::error::Error::source(error));
}
