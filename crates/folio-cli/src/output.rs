//! Standard output for bytes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

/// Standard output, buffered in blocks; `io::stdout` would look for a newline in every write.
pub(crate) fn stdout() -> io::Result<BufWriter<Stdout>> {
    let fd = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(BufWriter::with_capacity(64 << 10, Stdout(File::from(fd))))
}

/// Writes to standard output, and says so in errors.
#[derive(Debug)]
pub(crate) struct Stdout(File);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| match error.kind() {
            // Whoever writes tries again.
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("<stdout>: cannot write: {error}")),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
