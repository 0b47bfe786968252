//! What of a file is in memory, and who has it there.

use std::io::Write;

use folio::Residency;
use folio::residency::{Mapper, Mappers, Memory, PageCounts};
use folio_sys::page;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use crate::failure::Outcome;

/// Prints it, given what was counted before.
pub(super) fn print(
    out: &mut impl Write,
    residency: &Residency,
    pages: Option<PageCounts>,
    as_json: bool,
) -> Outcome {
    let pages = pages.map_or_else(|| residency.pages(..), Ok)?;
    let mappers = residency.mappers()?;
    if as_json {
        let mut object = json!({
            "file": residency.path().to_string_lossy(),
            "bytes": pages.len_bytes,
        });
        extend(&mut object, pages_json(&pages));
        let found = json!({
            "mapped_by": mappers_json(&mappers),
            "not_looked_into": mappers.refused,
        });
        extend(&mut object, found);
        writeln!(out, "{object}")?;
        return Ok(());
    }
    writeln!(out, "file            {}", residency.path().display())?;
    let (size, bytes) = (HumanBytes(pages.len_bytes), HumanCount(pages.len_bytes));
    writeln!(out, "size            {size} ({bytes} bytes)")?;
    write_pages(out, &pages)?;
    writeln!(out)?;
    write_mappers(out, Some(&mappers))
}

/// Prints how many pages are in which state.
pub(super) fn write_pages(out: &mut impl Write, pages: &PageCounts) -> Outcome {
    writeln!(
        out,
        "pages           {} of {} bytes",
        HumanCount(pages.pages),
        page::size()
    )?;
    for (name, count) in [
        ("  in memory", pages.resident),
        ("  dirty", pages.dirty),
        ("  write-back", pages.write_back),
        ("  evicted", pages.evicted),
        ("    recently", pages.recently_evicted),
    ] {
        match count {
            Some(count) => writeln!(
                out,
                "{name:15} {} ({}, {:.1} %)",
                HumanCount(count),
                HumanBytes(count.saturating_mul(page::size() as u64)),
                percent(count, pages.pages)
            )?,
            None => writeln!(out, "{name:15} unknown")?,
        }
    }
    writeln!(out, "known by        {}", pages.basis)?;
    Ok(())
}

/// Prints the processes that map a file. `None` is for a system that does not tell.
pub(super) fn write_mappers(out: &mut impl Write, mappers: Option<&Mappers>) -> Outcome {
    let Some(mappers) = mappers else {
        writeln!(out, "mapped by       unknown: this system does not tell")?;
        return Ok(());
    };
    if mappers.found.is_empty() {
        writeln!(out, "mapped by       no other process")?;
    } else {
        writeln!(
            out,
            "mapped by         pid         RSS         PSS     private      shared     swapped      locked        huge  command"
        )?;
    }
    for mapper in &mappers.found {
        write!(out, "{:>21}", mapper.pid)?;
        for bytes in [
            mapper.rss_bytes,
            mapper.pss_bytes,
            mapper.private_bytes,
            mapper.shared_bytes,
            mapper.swapped_bytes,
            mapper.locked_bytes,
            mapper.huge_bytes,
        ] {
            write!(out, " {:>11}", HumanBytes(bytes).to_string())?;
        }
        writeln!(out, "  {}", mapper.command.escape_debug())?;
    }
    if mappers.refused > 0 {
        writeln!(
            out,
            "not looked into  {} (processes that this user may not look into)",
            mappers.refused
        )?;
    }
    Ok(())
}

/// Counts of pages as an object; those that are unknown are null.
pub(crate) fn pages_json(pages: &PageCounts) -> Value {
    json!({
        "page_bytes": page::size(),
        "pages": pages.pages,
        "resident_pages": pages.resident,
        "dirty_pages": pages.dirty,
        "write_back_pages": pages.write_back,
        "evicted_pages": pages.evicted,
        "recently_evicted_pages": pages.recently_evicted,
        "known_by": basis_name(pages),
    })
}

/// In a word: the caveat is for those who read sentences.
fn basis_name(pages: &PageCounts) -> &'static str {
    match pages.basis {
        folio::residency::Basis::CacheStat => "cachestat",
        folio::residency::Basis::Mincore => "mincore",
        _ => "withheld",
    }
}

/// The processes that map a file as a list of objects.
pub(super) fn mappers_json(mappers: &Mappers) -> Value {
    let mapper = |mapper: &Mapper| {
        json!({
            "pid": mapper.pid,
            "rss_bytes": mapper.rss_bytes,
            "pss_bytes": mapper.pss_bytes,
            "private_bytes": mapper.private_bytes,
            "shared_bytes": mapper.shared_bytes,
            "swapped_bytes": mapper.swapped_bytes,
            "locked_bytes": mapper.locked_bytes,
            "huge_bytes": mapper.huge_bytes,
            "command": mapper.command,
        })
    };
    mappers.found.iter().map(mapper).collect()
}

/// What mappings hold, as an object.
pub(super) fn memory_json(memory: &Memory) -> Value {
    json!({
        "rss_bytes": memory.rss_bytes,
        "pss_bytes": memory.pss_bytes,
        "private_bytes": memory.private_bytes,
        "shared_bytes": memory.shared_bytes,
        "swapped_bytes": memory.swapped_bytes,
        "locked_bytes": memory.locked_bytes,
        "huge_bytes": memory.huge_bytes,
    })
}

/// Adds the fields of one object to another's.
pub(crate) fn extend(object: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (object, more) {
        fields.extend(more);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio to be printed")]
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
