//! `folio region stat PATH`

use std::io::Write;

use folio_ipc::Inspection;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use super::{Shown, inspect};
use crate::failure::Outcome;
use crate::output;

/// Print how large a region is, what its heap consists of, and how many use it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    shown: Shown,
}

pub(super) fn run(args: &Args) -> Outcome {
    let seen = inspect(&args.shown.path)?;
    let mut out = output::stdout()?;
    if args.shown.json {
        writeln!(out, "{}", object(args, &seen))?;
    } else {
        write_text(&mut out, args, &seen)?;
    }
    out.flush()?;
    Ok(())
}

fn write_text(out: &mut impl Write, args: &Args, seen: &Inspection) -> Outcome {
    let (region, heap) = (&seen.region, &seen.heap);
    writeln!(out, "region          {}", args.shown.path.display())?;
    size(out, "size", region.size_bytes)?;
    size(out, "capacity", region.capacity_bytes)?;
    let living = living(seen);
    let dead = seen.participants.len() - living;
    let places = HumanCount(region.participants.into());
    writeln!(
        out,
        "participants    {living} living, {dead} dead, room for {places}"
    )?;
    let places = HumanCount(region.threads.into());
    writeln!(
        out,
        "threads         {}, room for {places}",
        seen.threads.len()
    )?;
    let places = HumanCount(region.objects.into());
    writeln!(
        out,
        "objects         {}, room for {places}",
        HumanCount(seen.objects.len() as u64)
    )?;
    size(out, "heap", heap.size_bytes)?;
    size(out, "  objects", heap.object_bytes)?;
    size(out, "  free", heap.free_bytes)?;
    size(out, "  largest free", heap.largest_free_bytes)?;
    writeln!(
        out,
        "  blocks        {}: {} of objects, {} of participants, {} of dead ones, {} free",
        HumanCount(heap.blocks),
        HumanCount(heap.object_blocks),
        HumanCount(heap.owned_blocks),
        HumanCount(heap.orphaned_blocks),
        HumanCount(heap.free_blocks),
    )?;
    Ok(())
}

fn size(out: &mut impl Write, name: &str, bytes: u64) -> std::io::Result<()> {
    let (human, exact) = (HumanBytes(bytes), HumanCount(bytes));
    writeln!(out, "{name:15} {human} ({exact} bytes)")
}

fn object(args: &Args, seen: &Inspection) -> Value {
    let (region, heap) = (&seen.region, &seen.heap);
    let living = living(seen);
    json!({
        "region": args.shown.path.to_string_lossy(),
        "size_bytes": region.size_bytes,
        "capacity_bytes": region.capacity_bytes,
        "participants_living": living,
        "participants_dead": seen.participants.len() - living,
        "participants_limit": region.participants,
        "threads": seen.threads.len(),
        "threads_limit": region.threads,
        "objects": seen.objects.len(),
        "objects_limit": region.objects,
        "heap": {
            "size_bytes": heap.size_bytes,
            "blocks": heap.blocks,
            "object_blocks": heap.object_blocks,
            "object_bytes": heap.object_bytes,
            "owned_blocks": heap.owned_blocks,
            "orphaned_blocks": heap.orphaned_blocks,
            "free_blocks": heap.free_blocks,
            "free_bytes": heap.free_bytes,
            "largest_free_bytes": heap.largest_free_bytes,
        },
    })
}

/// How many of the participants are alive.
pub(super) fn living(seen: &Inspection) -> usize {
    let living = seen.participants.iter().filter(|one| one.is_alive);
    living.count()
}
