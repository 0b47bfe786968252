//! Key, tab, value.

use std::io::BufRead;

use super::lines::Lines;
use super::{Options, Progress, Target};
use crate::export::ESCAPED;
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
    let mut unescaped = Unescaped::default();
    while let Some((number, line)) = lines.next()? {
        if line.first() == Some(&b'\t') && line.starts_with(ESCAPED) {
            let (key, value) = unescaped
                .record(line.get(ESCAPED.len()..).unwrap_or_default())
                .map_err(|problem| target.error(number, problem))?;
            target.add(number, key, value)?;
        } else {
            let (key, value) =
                split(line).ok_or_else(|| target.error(number, "no tab, so no value"))?;
            target.add(number, key, value)?;
        }
        progress.at(lines.consumed());
    }
    progress.end(lines.consumed());
    Ok(())
}

/// What stands before the first tab, and what after it.
#[inline]
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, rest) = line.split_at_checked(memchr::memchr(b'\t', line)?)?;
    Some((key, rest.get(1..)?))
}

/// The record of an escaped line.
#[derive(Default)]
struct Unescaped {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Unescaped {
    fn record(&mut self, line: &[u8]) -> Result<(&[u8], &[u8]), String> {
        let (key, value) = split(line).ok_or("an escaped line without a value")?;
        unescape(key, &mut self.key)?;
        unescape(value, &mut self.value)?;
        Ok((&self.key, &self.value))
    }
}

fn unescape(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    out.clear();
    let mut parts = text.iter();
    while let Some(&byte) = parts.next() {
        out.push(match byte {
            b'\\' => match parts.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'\\') => b'\\',
                other => {
                    let found = other.map_or(String::new(), |byte| byte.escape_ascii().to_string());
                    return Err(format!("\"\\{found}\" is no escape: \\t, \\n and \\\\ are"));
                }
            },
            _ => byte,
        });
    }
    Ok(())
}
