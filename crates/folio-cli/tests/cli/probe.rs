//! `folio probe`: what is chosen for each kind of source, and why.

use crate::folder::Folder;

#[test]
fn says_what_is_chosen_and_why() {
    let folder = Folder::new();
    folder.write("regular", vec![7; 10_000]);
    folder.write("empty", "");
    let text = folder
        .folio([
            "probe",
            "regular",
            "empty",
            "/proc/version",
            "--offset",
            "5000",
        ])
        .text();
    let parts: Vec<_> = text.split_inclusive("regular\n").collect();
    assert_eq!(parts[0], "regular\n");
    for line in [
        "  kind       mapped\n",
        "  why        it can be mapped whole\n",
        "  length     10,000 bytes (9.77 KiB)\n",
        "  windows    one: the whole file\n",
        "  why        it is empty, so there is nothing to map\n",
        "  kind       positioned (read by pread)\n",
        "  why        it says that it is empty, and has content\n",
        "  length     unknown\n",
    ] {
        assert!(text.contains(line), "{line:?} is missing in {text}");
    }
    if folio_sys::page::size() == 4096 {
        let line = "  alignment  byte 5,000 is byte 904 of the page that begins at 4,096";
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn a_pipe_is_a_stream_and_stays_unread() {
    let folder = Folder::new();
    let text = folder.folio_reading(["probe", "-"], b"left alone").text();
    assert!(text.starts_with("<stdin>\n  kind       stream"), "{text}");
}

#[test]
fn goes_on_after_a_file_that_cannot_be_opened() {
    let folder = Folder::new();
    folder.write("there", "x");
    let finished = folder.folio(["probe", "missing", ".", "there"]);
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.contains("missing: cannot open"));
    assert!(
        finished.stderr.contains(".: cannot read: is a directory"),
        "{}",
        finished.stderr
    );
    assert!(String::from_utf8_lossy(&finished.stdout).starts_with("there\n"));
}
