use std::path::{Path, PathBuf};

use clap::Parser;

use crate::groups::ScanArgs;
use crate::row::{Skipped, Spec};

/// Measures folio beside its peers and the limits of the machine.
#[derive(Debug, Parser)]
#[command(name = "folio-bench", version)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Args {
    /// Groups or rows to measure: `files`, or `files.read_at_64_vs_pread`
    #[arg(value_name = "GROUP[.ROW]", required_unless_present_any = ["list", "hold", "partner", "scan"])]
    pub(crate) select: Vec<String>,

    /// Names the groups and rows, and measures nothing
    #[arg(long)]
    pub(crate) list: bool,

    /// Less data and fewer rounds: seconds a row, and less certain figures
    #[arg(long)]
    pub(crate) quick: bool,

    /// Prints one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,

    /// Exits with status 1 if a goal does not hold
    #[arg(long)]
    pub(crate) check: bool,

    /// How many keys the tables of the group `table` have [default: 10 million]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    keys: Option<u64>,

    /// Reads a table and keeps it mapped until the end of standard input: for a row of our own
    #[arg(long, value_name = "TABLE", hide = true)]
    pub(crate) hold: Option<PathBuf>,

    /// Does what the arena in a file says, as the other process of a row for two
    #[arg(long, value_name = "ARENA", hide = true)]
    pub(crate) partner: Option<PathBuf>,

    /// For a row of our own, as well.
    #[command(flatten)]
    pub(crate) scan: ScanArgs,

    /// The folio command to measure [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    folio: Option<PathBuf>,
}

/// What a measurement may vary with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The rows that are asked for: what only others need may be left out.
    pub(crate) rows: Vec<&'static Spec>,
    /// Seconds a row, rather than as long as good figures need.
    pub(crate) quick: bool,
    /// How many keys a table has, where the command line says so.
    pub(crate) keys: Option<u64>,
    /// The folio command, which need not exist.
    pub(crate) folio: PathBuf,
}

impl Args {
    pub(crate) fn settings(&self) -> Settings {
        let beside_us = || {
            let us = std::env::current_exe().unwrap_or_default();
            us.with_file_name("folio")
        };
        Settings {
            rows: Vec::new(),
            quick: self.quick,
            keys: self.keys,
            folio: self.folio.clone().unwrap_or_else(beside_us),
        }
    }
}

impl Settings {
    /// The folio command, where there is one.
    pub(crate) fn folio(&self) -> Result<&Path, Skipped> {
        if self.folio.exists() {
            return Ok(&self.folio);
        }
        let command = self.folio.display();
        Err(Skipped(format!(
            "there is no folio command at {command} (see --folio)"
        )))
    }

    /// A peer, unless no row that is asked for compares with it.
    pub(crate) fn peer<T>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<T, Skipped>,
    ) -> Result<T, Skipped> {
        if self.rows.iter().any(|row| row.peer_name == name) {
            make()
        } else {
            Err(Skipped("not asked for".into()))
        }
    }

    /// The same for some of the rows.
    pub(crate) fn only(&self, some: impl Fn(&Spec) -> bool) -> Self {
        let rows = self.rows.iter().copied().filter(|row| some(row));
        Self {
            rows: rows.collect(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_folio_command_its_rows_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            rows: Vec::new(),
            quick: true,
            keys: None,
            folio: folder.path().join("folio"),
        };
        let why = settings.folio().unwrap_err();
        assert!(why.0.starts_with("there is no folio command at "));
        std::fs::write(&settings.folio, "").unwrap();
        assert_eq!(settings.folio(), Ok(settings.folio.as_path()));
    }
}
