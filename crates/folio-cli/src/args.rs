//! The command line: what there is to type. Each subcommand's own arguments
//! stand with its code.

use clap::{Parser, Subcommand};

use crate::commands::{
    build, cat, completions, dump, evict, get, lab, load, lock, man, map, probe, region, scan,
    serve, stat, store, verify,
};

/// Files as memory, shared by many processes.
///
/// folio builds lookup tables, serves them from several processes that share one
/// copy in physical memory, and reads any file at any offset.
#[derive(Debug, Parser)]
#[command(
    name = "folio",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Begin with `folio serve`: it makes sample data, serves it, and shows what its workers share.\n\
                  Exit status: 0 done, 1 failed, 2 wrong usage."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Build(build::Args),
    Get(get::Args),
    Scan(scan::Args),
    Dump(dump::Args),
    Serve(serve::Args),
    Stat(stat::Args),
    Map(map::Args),
    Load(load::Args),
    Evict(evict::Args),
    Lock(lock::Args),
    Store(store::Args),
    Region(region::Args),
    Verify(verify::Args),
    Cat(cat::Args),
    Probe(probe::Args),
    Lab(lab::Args),
    Completions(completions::Args),
    Man(man::Args),
}
