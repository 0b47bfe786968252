//! Progress bars, on stderr where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over bytes; a spinner that counts where their number is not known.
pub(crate) fn of_bytes(what: &'static str, total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::new(total.unwrap_or(0));
    let template = match total {
        Some(_) => "{msg} {wide_bar} {bytes}/{total_bytes} {eta}",
        None => "{msg} {spinner} {bytes} {bytes_per_sec}",
    };
    styled(bar, template).with_message(what)
}

/// A bar over records.
pub(crate) fn of_records(what: &'static str, total: u64) -> ProgressBar {
    styled(
        ProgressBar::new(total),
        "{msg} {wide_bar} {human_pos}/{human_len} {eta}",
    )
    .with_message(what)
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
