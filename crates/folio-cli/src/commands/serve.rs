//! `folio serve [PATH…]`

mod prepare;
mod screen;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use folio_server::{Config, Populate, Supervisor};

use crate::commands::verify::VerifyArgs;
use crate::failure::{Failure, Outcome};

/// Serve tables to Redis clients from several processes that share one copy.
///
/// PATH is a table, a store's folder, or an input that `folio build` understands, which is then built into
/// the cache folder (`$XDG_CACHE_HOME`, else `~/.cache`) on the way. Several are numbered:
/// SELECT 1 chooses the second. Without a PATH, a sample of 1,000,000 records is made and served.
///
/// What is published in a store is served from the next request on. SIGHUP has all workers look
/// at the stores at once.
///
/// Ctrl-C or SIGTERM ends it: requests that have come are answered first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Tables, stores, or TSV, CSV or JSON Lines; `-` reads standard input.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// How many worker processes; by default, one for each processor.
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// The TCP address to listen on; port 0 takes any free one and prints it.
    /// By default 127.0.0.1:7379, or no TCP if --unix is given.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,

    /// The path of a Unix socket to listen on.
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,

    /// Whether workers bring the data into memory before they serve.
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    populate: When,

    #[command(flatten)]
    verify: VerifyArgs,

    #[command(flatten)]
    build: prepare::BuildArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    /// If the data takes at most half of the memory that is available.
    Auto,
    /// Whatever its size.
    Always,
    /// As requests touch it.
    Never,
}

pub(crate) fn run(args: Args) -> Outcome {
    let from_stdin = args.paths.iter().filter(|path| path.as_os_str() == "-");
    if from_stdin.count() > 1 {
        return Err(Failure::new("-: standard input can be read only once"));
    }
    let (tables, sample_key) = if args.paths.is_empty() {
        let table = args.verify.check(prepare::sample(&args.build)?)?;
        (vec![table.into()], Some(prepare::SAMPLE_KEY))
    } else {
        let tables = args
            .paths
            .iter()
            .map(|path| prepare::table(path, &args.build, args.verify))
            .collect::<Outcome<Vec<_>>>()?;
        (tables, None)
    };
    let paths = args.paths.iter().map(PathBuf::as_path);
    let screen_tables = paths
        .chain(std::iter::once(Path::new("")))
        .zip(&tables)
        .map(|(path, table)| screen::Served::of(path, table))
        .collect();

    let mut config = Config::default();
    if let Some(workers) = args.workers {
        config.workers = workers;
    }
    if args.listen.is_some() || args.unix.is_some() {
        config.listen = args.listen;
    }
    config.populate = match args.populate {
        When::Auto => Populate::IfItFits,
        When::Always => Populate::Always,
        When::Never => Populate::Never,
    };
    config.unix.clone_from(&args.unix);

    let supervisor = Supervisor::bind(config, tables).map_err(explain)?;
    let addresses = screen::Addresses {
        tcp: supervisor.local_addr(),
        unix: args.unix,
    };
    let mut screen = screen::Screen::new(addresses, screen_tables, sample_key);
    supervisor.run(|event| screen.show(&event))?;
    Ok(())
}

/// Adds what can be done about an address that is taken.
fn explain(error: folio_server::Error) -> Failure {
    let is_taken = matches!(error, folio_server::Error::AddressInUse { .. });
    let failure = Failure::from(error);
    if is_taken {
        failure.hint("--listen 127.0.0.1:0 takes any free port")
    } else {
        failure
    }
}
