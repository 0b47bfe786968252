//! `folio stat TABLE`

use std::io::Write;
use std::path::PathBuf;

use folio::ReadAt;
use folio::residency::{Mapper, Mappers};
use folio_table::{IndexKind, Info, Section};
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use crate::commands::store::Opened;
use crate::commands::verify::VerifyArgs;
use crate::failure::Outcome;
use crate::output;

/// Print what a table holds, what its parts take, and which processes have it mapped.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The table, as `folio build` made it, or a store's folder.
    table: PathBuf,

    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let table = Opened::at(&args.table, VerifyArgs::default())?;
    let mut out = output::stdout()?;
    if args.json {
        writeln!(out, "{}", json(args, &table)?)?;
    } else {
        write_text(&mut out, &table)?;
    }
    out.flush()?;
    Ok(())
}

fn write_text(out: &mut impl Write, table: &Opened) -> Outcome {
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
    write_mappers(out, table)
}

/// The same as an object, whose numbers are in the units of their names.
fn json(args: &Args, table: &Opened) -> Outcome<Value> {
    let info = table.info();
    let section = |section: &Section| {
        json!({
            "kind": section.kind.to_string(),
            "offset_bytes": section.offset_bytes,
            "len_bytes": section.len,
            "bytes_a_record": a_record(section.len, info),
        })
    };
    let mapper = |mapper: &Mapper| {
        json!({
            "pid": mapper.pid,
            "rss_bytes": mapper.rss_bytes,
            "pss_bytes": mapper.pss_bytes,
            "command": mapper.command,
        })
    };
    let mappers = mappers(table)?;
    let found = mappers.as_ref().map(|mappers| &mappers.found);
    Ok(json!({
        "table": args.table.to_string_lossy(),
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
        "mapped_by": found.map(|found| found.iter().map(mapper).collect::<Value>()),
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

fn write_mappers(out: &mut impl Write, table: &Opened) -> Outcome {
    let Some(mappers) = mappers(table)? else {
        writeln!(out, "mapped by       unknown: this system does not tell")?;
        return Ok(());
    };
    if mappers.found.is_empty() {
        writeln!(out, "mapped by       no other process")?;
    } else {
        writeln!(
            out,
            "mapped by         pid         RSS         PSS  command"
        )?;
        for mapper in &mappers.found {
            writeln!(
                out,
                "{:>21} {:>11} {:>11}  {}",
                mapper.pid,
                HumanBytes(mapper.rss_bytes).to_string(),
                HumanBytes(mapper.pss_bytes).to_string(),
                mapper.command.escape_debug()
            )?;
        }
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
