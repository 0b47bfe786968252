//! From what was named to tables that can be served.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use folio::{Kind, Source, View};
use folio_server::{Database, sample};
use folio_table::import::Format;
use folio_table::{Store, Table};

use crate::commands::build::{self, InputArgs, MemoryArgs};
use crate::commands::verify::VerifyArgs;
use crate::commands::{cat, store};
use crate::failure::{Failure, Outcome};
use crate::progress;

/// A key of the sample, to try.
pub(crate) const SAMPLE_KEY: &str = "user:0000042";

/// How many records are added between two looks of the progress bar.
const RECORDS_PER_STEP: u32 = 1 << 14;

/// How tables are made of inputs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    memory: MemoryArgs,

    #[command(flatten)]
    input: InputArgs,
}

/// The sample table, made if it is not there or not whole.
pub(crate) fn sample(args: &BuildArgs) -> Outcome<Table<View>> {
    let folder = cache_folder()?;
    let path = folder.join("sample-1.folio");
    if let Ok(table) = Table::open(&path) {
        if table.count() == u64::from(sample::COUNT) {
            return Ok(table);
        }
    }
    let bar = progress::of_records("making sample data", u64::from(sample::COUNT));
    let mut builder = args.memory.builder().temporary_folder(&folder);
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for i in 0..sample::COUNT {
        sample::record(i, &mut key, &mut value);
        builder.add(u64::from(i) + 1, &key, &value)?;
        if i % RECORDS_PER_STEP == 0 {
            bar.set_position(u64::from(i));
        }
    }
    bar.finish_and_clear();
    builder.write_to(&path)?;
    Ok(Table::open(&path)?)
}

/// Opens a table or a store, or builds a table from an input.
pub(crate) fn table(path: &Path, args: &BuildArgs, verify: VerifyArgs) -> Outcome<Database> {
    if path == Path::new("-") {
        let source = build::in_order(Source::stdin()?, path)?;
        let table = from_stream(source, args)?;
        return Ok(verify.check(table)?.into());
    }
    if Store::is_at(path) {
        let reader = store::open(path)?.checked_reader(verify.when());
        return Ok(reader.map_err(store::explain)?.into());
    }
    let is_input = args.input.format.is_some() || Format::from_path(path).is_some();
    if !is_input {
        let table = Table::open(path).map_err(|error| {
            let is_other = matches!(error, folio_table::Error::NotATable { .. });
            let failure = Failure::from(error);
            if is_other {
                failure.hint(
                    "to build a table from it first, say what it is: --format tsv, csv or jsonl",
                )
            } else {
                failure
            }
        })?;
        return Ok(verify.check(table)?.into());
    }
    let source = cat::open(path)?;
    let is_file = matches!(source.kind(), Kind::Mapped | Kind::Windowed);
    let source = build::in_order(source, path)?;
    let table = if is_file {
        from_file(source, args)?
    } else {
        from_stream(source, args)?
    };
    Ok(verify.check(table)?.into())
}

/// Builds from a regular file, or takes what was built from the very same one before.
fn from_file(source: Source, args: &BuildArgs) -> Outcome<Table<View>> {
    let (path, input) = (source.path().to_owned(), &args.input);
    let failed =
        |error: io::Error| Failure::new(format!("{}: cannot stat: {error}", path.display()));
    let metadata = fs::metadata(&path).map_err(failed)?;
    let place = fs::canonicalize(&path).map_err(failed)?;
    let stamp = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    let options = (input.format, &input.key, &input.value, input.on_duplicate);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let family = format!(
        "{stem}-{:016x}-",
        hash_of(&(place.as_os_str().as_bytes(), options))
    );
    let name = format!("{family}{:016x}.folio", hash_of(&stamp));

    let folder = cache_folder()?;
    let built = folder.join(&name);
    if let Ok(table) = Table::open(&built) {
        return Ok(table);
    }
    build::import(args.memory.builder(), &[source], input, &folder)?.write_to(&built)?;
    remove_older(&folder, &family, &name);
    Ok(Table::open(&built)?)
}

/// Builds from what can be read once. The file has no name, so that it goes with the
/// processes that have it mapped, even when they are killed.
fn from_stream(source: Source, args: &BuildArgs) -> Outcome<Table<View>> {
    let folder = cache_folder()?;
    let name = source.path().to_owned();
    let imported = build::import(args.memory.builder(), &[source], &args.input, &folder)?;
    let file = imported.write_unnamed(&folder)?;
    let view = Source::options().of_file(file, &name)?.whole()?;
    Ok(Table::from_bytes(view, name)?)
}

/// Removes what was built from older states of the same input. Servers that
/// have them mapped keep them until they end.
fn remove_older(folder: &Path, family: &str, current: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_older = name
            .to_str()
            .is_some_and(|name| name.starts_with(family) && name != current);
        if is_older {
            // Space is all that is lost when this fails.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// folio's folder among the user's caches, made if need be.
fn cache_folder() -> Outcome<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let caches = set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .ok_or_else(|| {
            Failure::new(
                "no folder for cached tables: neither XDG_CACHE_HOME nor HOME is an absolute path",
            )
            .hint("name a table: folio serve TABLE.folio")
        })?;
    let folder = caches.join("folio");
    fs::create_dir_all(&folder).map_err(|error| {
        Failure::new(format!(
            "{}: cannot make the folder: {error}",
            folder.display()
        ))
    })?;
    Ok(folder)
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
