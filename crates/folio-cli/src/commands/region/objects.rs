//! `folio region objects PATH`

use std::io::Write;

use folio_ipc::ObjectInfo;
use indicatif::HumanCount;
use serde_json::{Value, json};

use super::{Shown, inspect};
use crate::failure::Outcome;
use crate::output;

/// List the objects of a region, by name.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    shown: Shown,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut objects = inspect(&args.shown.path)?.objects;
    objects.sort_by(|one, other| one.name.cmp(&other.name));
    let mut out = output::stdout()?;
    if !args.shown.json {
        writeln!(
            out,
            "kind                bytes        offset  users  name (type)"
        )?;
    }
    for info in &objects {
        if args.shown.json {
            writeln!(out, "{}", object(info))?;
        } else {
            writeln!(out, "{}", row(info))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn row(info: &ObjectInfo) -> String {
    let removed = if info.is_removed { ", removed" } else { "" };
    format!(
        "{:<11} {:>13} {:>13} {:>6}  {} ({}{removed})",
        info.kind.to_string(),
        HumanCount(info.size_bytes).to_string(),
        HumanCount(info.offset_bytes).to_string(),
        info.users.len(),
        info.name.escape_debug(),
        info.type_name.escape_debug(),
    )
}

fn object(info: &ObjectInfo) -> Value {
    json!({
        "name": info.name,
        "kind": info.kind.to_string(),
        "type": info.type_name,
        "size_bytes": info.size_bytes,
        "offset_bytes": info.offset_bytes,
        "user_slots": info.users,
        "removed": info.is_removed,
    })
}
