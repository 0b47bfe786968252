//! `folio stat TABLE`

use std::io::Write;
use std::path::PathBuf;

use folio::ReadAt;
use folio::residency::Mappers;
use folio_table::{IndexKind, Table};
use indicatif::{HumanBytes, HumanCount};

use crate::failure::Outcome;
use crate::output;

/// Print what a table holds, and which processes have it mapped.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The table, as `folio build` made it.
    table: PathBuf,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let table = Table::open(&args.table)?;
    let info = table.info();
    let mut out = output::stdout()?;
    writeln!(out, "table           {}", args.table.display())?;
    writeln!(out, "format version  {}", info.version)?;
    writeln!(out, "records         {}", HumanCount(info.count))?;
    write_size(&mut out, "keys", info.key_bytes)?;
    write_size(&mut out, "values", info.value_bytes)?;
    write_size(&mut out, "file", info.file_len)?;
    for section in &info.sections {
        write_size(&mut out, &format!("  {}", section.kind), section.len)?;
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
    write_mappers(&mut out, &table)?;
    out.flush()?;
    Ok(())
}

fn write_size(out: &mut impl Write, name: &str, bytes: u64) -> std::io::Result<()> {
    writeln!(
        out,
        "{name:15} {} ({} bytes)",
        HumanBytes(bytes),
        HumanCount(bytes)
    )
}

/// Other processes that map the table; this one does as well, and is left out.
fn write_mappers(out: &mut impl Write, table: &Table<folio::View>) -> Outcome {
    let view = table.bytes();
    let Some(file) = view.file_id().filter(|_| !view.is_empty()) else {
        writeln!(out, "mapped by       unknown: this system does not tell")?;
        return Ok(());
    };
    let mut mappers = Mappers::of(file)?;
    mappers
        .found
        .retain(|mapper| mapper.pid != std::process::id());
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
