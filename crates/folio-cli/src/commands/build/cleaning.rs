//! Ends by a signal as without it, but for the temporary files.

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::failure::Outcome;

/// Has temporary files removed when a signal comes that asks to end, and then ends as it would have.
///
/// It takes a thread. A signal that is ignored, as for a program that a shell started in the background,
/// stays so.
pub(super) fn before_signals_end_us() -> Outcome {
    let ignored = ignored_signals();
    let wanted = [SIGHUP, SIGINT, SIGTERM];
    let wanted = wanted
        .into_iter()
        .filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = Signals::new(wanted)?;
    let wait = move || {
        for signal in signals.forever() {
            folio_table::remove_temporary_files();
            // It does not return, for these.
            let _: io::Result<()> = emulate_default_handler(signal);
        }
    };
    thread::Builder::new()
        .name("folio-signals".to_owned())
        .spawn(wait)?;
    Ok(())
}

/// A bit for each signal, that of signal 1 the lowest; none where the system does not tell (`proc(5)`).
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
