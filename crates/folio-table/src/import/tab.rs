//! Key, tab, value.

use std::io::BufRead;

use super::lines::Lines;
use super::{Options, Progress, Target};
use crate::{Error, Result};

pub(super) fn read(
    input: impl BufRead,
    options: &Options,
    max_line_len: u64,
    target: &mut Target<'_>,
    mut progress: Progress<impl FnMut(u64)>,
) -> Result<()> {
    if let Some(wanted) = options.key.as_ref().or(options.value.as_ref()) {
        return Err(Error::NoHeader {
            path: target.name.to_owned(),
            wanted: wanted.clone(),
        });
    }
    let mut lines = Lines::new(input, target.name, max_line_len);
    while let Some((number, line)) = lines.next()? {
        let tab = memchr::memchr(b'\t', line);
        let Some((key, value)) = tab.and_then(|tab| line.split_at_checked(tab)) else {
            return Err(target.error(number, "no tab, so no value"));
        };
        target.add(number, key, value.get(1..).unwrap_or_default())?;
        progress.at(lines.consumed());
    }
    progress.end(lines.consumed());
    Ok(())
}
