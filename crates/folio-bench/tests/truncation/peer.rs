//! memmap2 reads a file that is cut short, in a process of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use crate::child;
use crate::counts::Counts;

/// The test in which it reads.
pub(crate) const NAME: &str = "memmap2_reads_what_is_cut";

const PATH: &str = "FOLIO_TEST_PATH";
const CUT: &str = "FOLIO_TEST_CUT";

/// Makes a process for each cut, and counts how they end.
pub(crate) fn campaign(folder: &Path, content: &[u8], cuts: &[u64]) -> Counts {
    let mut counts = Counts::default();
    for cut in cuts {
        let file = tempfile::NamedTempFile::new_in(folder).unwrap();
        std::fs::write(&file, content).unwrap();
        let cut = cut.to_string();
        let variables = [
            (PATH, file.path().as_os_str()),
            (CUT, OsStr::new(cut.as_str())),
        ];
        let status = child::run(NAME, Stdio::null(), &variables);
        counts.reads += 1;
        match child::is_sigbus(status) {
            true => counts.killed += 1,
            false => counts.zeros += 1,
        }
    }
    counts
}

/// In the child: maps a file, cuts it short, and reads all of it.
pub(crate) fn be_memmap2() {
    let path = std::env::var_os(PATH).unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    let map = map(&file).unwrap();
    let cut = std::env::var(CUT).unwrap().parse().unwrap();
    file.set_len(cut).unwrap();
    let bytes = map.to_vec();
    let cut = usize::try_from(cut).unwrap();
    assert!(bytes[..cut].iter().all(|&byte| byte != 0));
    // Whoever lives to see them takes them for the file's.
    assert!(bytes[cut..].iter().all(|&byte| byte == 0));
}

#[expect(
    unsafe_code,
    reason = "memmap2 asks for a promise that nobody can keep"
)]
fn map(file: &File) -> std::io::Result<memmap2::Mmap> {
    // SAFETY: it does not hold that nobody cuts the file: what happens then is what this process,
    // which does nothing else, is here to show.
    unsafe { memmap2::Mmap::map(file) }
}
