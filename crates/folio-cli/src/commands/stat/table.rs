//! What a table holds.

use std::io::Write;
use std::path::Path;

use folio::residency::{Mappers, PageCounts};
use folio::{ReadAt, Residency};
use folio_table::{IndexKind, Info, Section};
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use super::file;
use crate::commands::store::Opened;
use crate::failure::Outcome;

/// Prints what a table holds, what its parts take and what of it is in memory.
pub(super) fn print(
    out: &mut impl Write,
    path: &Path,
    table: &Opened,
    pages: Option<PageCounts>,
    as_json: bool,
) -> Outcome {
    // What was counted before is of that file, unless it is in a store.
    let pages = pages.or_else(|| count(table));
    if as_json {
        writeln!(out, "{}", json(path, table, pages.as_ref())?)?;
        Ok(())
    } else {
        write_text(out, table, pages.as_ref())
    }
}

fn write_text(out: &mut impl Write, table: &Opened, pages: Option<&PageCounts>) -> Outcome {
    let info = table.info();
    writeln!(out, "table           {}", table.name().display())?;
    writeln!(out, "format version  {}", info.version)?;
    writeln!(out, "records         {}", HumanCount(info.count))?;
    write_size(out, "keys", info.key_bytes)?;
    write_size(out, "values", info.value_bytes)?;
    write_size(out, "file", info.file_len)?;
    for section in &info.sections {
        let name = format!("  {}", section.kind);
        let each = a_record(section.len, info);
        writeln!(
            out,
            "{name:15} {} ({} bytes, {each:.2} a record)",
            HumanBytes(section.len),
            HumanCount(section.len)
        )?;
    }
    writeln!(out, "index           {}", info.index)?;
    if info.index == IndexKind::Hash {
        writeln!(out, "index load      {:.1} %", info.load() * 100.0)?;
        writeln!(out, "longest probe   {} lines", info.longest_probe)?;
    }
    let (index, overhead) = (info.index_bytes(), info.overhead_bytes());
    writeln!(out, "index size      {index:.2} bytes a record")?;
    writeln!(out, "overhead        {overhead:.2} bytes a record")?;
    writeln!(out)?;
    if let Some(pages) = pages {
        file::write_pages(out, pages)?;
        writeln!(out)?;
    }
    file::write_mappers(out, mappers(table)?.as_ref())
}

/// The same as an object, whose numbers are in the units of their names.
fn json(path: &Path, table: &Opened, pages: Option<&PageCounts>) -> Outcome<Value> {
    let info = table.info();
    let section = |section: &Section| {
        json!({
            "kind": section.kind.to_string(),
            "offset_bytes": section.offset_bytes,
            "len_bytes": section.len,
            "bytes_a_record": a_record(section.len, info),
        })
    };
    let mappers = mappers(table)?;
    Ok(json!({
        "table": path.to_string_lossy(),
        "format_version": info.version,
        "records": info.count,
        "key_bytes": info.key_bytes,
        "value_bytes": info.value_bytes,
        "file_bytes": info.file_len,
        "sections": info.sections.iter().map(section).collect::<Value>(),
        "index": info.index.to_string(),
        "index_load": info.load(),
        "longest_probe_lines": info.longest_probe,
        "overhead_bytes_a_record": info.overhead_bytes(),
        "pages": pages.map(file::pages_json),
        "mapped_by": mappers.as_ref().map(file::mappers_json),
        "not_looked_into": mappers.as_ref().map(|mappers| mappers.refused),
    }))
}

#[expect(clippy::cast_precision_loss, reason = "a ratio to be printed")]
fn a_record(bytes: u64, info: &Info) -> f64 {
    bytes as f64 / info.count.max(1) as f64
}

fn write_size(out: &mut impl Write, name: &str, bytes: u64) -> std::io::Result<()> {
    writeln!(
        out,
        "{name:15} {} ({} bytes)",
        HumanBytes(bytes),
        HumanCount(bytes)
    )
}

/// Other processes that map the table; this one does as well, and is left out. `None` where
/// the system does not tell.
fn mappers(table: &Opened) -> Outcome<Option<Mappers>> {
    let view = table.bytes().unchecked();
    let Some(file) = view.file_id().filter(|_| !view.is_empty()) else {
        return Ok(None);
    };
    let mut mappers = Mappers::of(file)?;
    mappers
        .found
        .retain(|mapper| mapper.pid != std::process::id());
    Ok(Some(mappers))
}

/// What of the file is in memory. `None` where another file took its place, or nobody tells.
fn count(table: &Opened) -> Option<PageCounts> {
    let residency = Residency::open(table.name()).ok()?;
    if residency.file_id().ok() != table.bytes().unchecked().file_id() {
        return None;
    }
    residency.pages(..).ok()
}
