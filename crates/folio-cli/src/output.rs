//! Standard output for bytes.

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::AsFd;

/// Standard output, buffered in blocks; `io::stdout` would look for a newline in every write.
pub(crate) fn stdout() -> io::Result<BufWriter<File>> {
    let fd = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(BufWriter::with_capacity(64 << 10, File::from(fd)))
}
