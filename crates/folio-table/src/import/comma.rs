//! Comma-separated values with a header.

use std::collections::HashSet;
use std::io::BufRead;

use csv::ByteRecord;

use super::rows::{Meter, Rows};
use super::{Options, Progress, Target};
use crate::{Error, Result};

pub(super) fn read(
    input: impl BufRead,
    options: &Options,
    max_row_len: u64,
    target: &mut Target<'_>,
    mut progress: Progress<impl FnMut(u64)>,
) -> Result<()> {
    let meter = Meter::default();
    let mut rows = Rows::new(input, &meter, max_row_len);
    let mut header = ByteRecord::new();
    let Some(header_line) = rows.next(&mut header, target)? else {
        return Err(target.error(1, "no header"));
    };
    let key_column = match &options.key {
        Some(wanted) => column(&header, wanted, target)?,
        None => 0,
    };
    let value_of = match &options.value {
        Some(wanted) => ValueOf::Column(column(&header, wanted, target)?),
        None => ValueOf::Row(names(&header).map_err(|problem| target.error(header_line, problem))?),
    };
    let mut row = ByteRecord::new();
    let mut json = Vec::new();
    while let Some(line) = rows.next(&mut row, target)? {
        let key = row.get(key_column).unwrap_or_default();
        match &value_of {
            ValueOf::Column(column) => {
                target.add(line, key, row.get(*column).unwrap_or_default())?;
            }
            ValueOf::Row(names) => {
                json.clear();
                write_object(names, &row, &mut json)
                    .map_err(|problem| target.error(line, problem))?;
                target.add(line, key, &json)?;
            }
        }
        progress.at(meter.consumed());
    }
    progress.end(meter.consumed());
    Ok(())
}

enum ValueOf {
    Column(usize),
    /// The whole row, with these names as JSON.
    Row(Vec<Vec<u8>>),
}

/// The column of that name; or else, of that number, counted from 1.
fn column(header: &ByteRecord, wanted: &str, target: &Target<'_>) -> Result<usize> {
    if let Some(index) = header.iter().position(|name| name == wanted.as_bytes()) {
        return Ok(index);
    }
    let number = wanted.parse::<usize>().ok();
    let index = number.and_then(|number| number.checked_sub(1));
    index
        .filter(|&index| index < header.len())
        .ok_or_else(|| Error::NoColumn {
            path: target.name.to_owned(),
            wanted: wanted.to_owned(),
            // Enough for a message, whatever the header is.
            found: header
                .iter()
                .take(100)
                .map(|name| name.escape_ascii().to_string())
                .collect(),
        })
}

/// The names of all columns as JSON strings, each followed by a colon.
fn names(header: &ByteRecord) -> Result<Vec<Vec<u8>>, String> {
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    for name in header {
        if !seen.insert(name) {
            let name = name.escape_ascii();
            return Err(format!(
                "two columns are called \"{name}\", so that a row is no JSON object"
            ));
        }
        let mut json = Vec::new();
        write_string(name, &mut json).map_err(|problem| format!("a column's name is {problem}"))?;
        json.push(b':');
        names.push(json);
    }
    Ok(names)
}

/// Appends the row as a JSON object of strings.
fn write_object(names: &[Vec<u8>], row: &ByteRecord, json: &mut Vec<u8>) -> Result<(), String> {
    let mut before = b'{';
    for (name, field) in names.iter().zip(row) {
        json.push(before);
        json.extend_from_slice(name);
        write_string(field, json).map_err(|problem| {
            let name = name.strip_suffix(b":").unwrap_or(name);
            format!("column {}: {problem}", String::from_utf8_lossy(name))
        })?;
        before = b',';
    }
    json.push(b'}');
    Ok(())
}

fn write_string(bytes: &[u8], json: &mut Vec<u8>) -> Result<(), &'static str> {
    let string = std::str::from_utf8(bytes).map_err(|_| NOT_UTF8)?;
    serde_json::to_writer(json, string).map_err(|_| NOT_UTF8)
}

const NOT_UTF8: &str = "not UTF-8, which JSON needs";
