//! `folio stat`, `map`, `load`, `evict` and `lock`, of any file.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::folder::Folder;
use crate::process::{Killed, send_signal, within_watchdog};
use crate::program::have;
use crate::pty::Terminal;

/// The size of the files here: 2000 pages of 4 KiB.
const LEN: u64 = 2000 * 4096;

/// A folder on a disk: what is on `tmpfs` cannot leave memory.
fn folder_with(names: &[&str]) -> Folder {
    let folder = Folder::on_disk();
    for name in names {
        let path = folder.write(name, vec![7; usize::try_from(LEN).unwrap()]);
        fs::File::open(path).unwrap().sync_all().unwrap();
    }
    folder
}

fn json(folder: &Folder, arguments: &[&str]) -> Vec<Value> {
    let text = folder.folio(arguments).text();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn resident(folder: &Folder, name: &str) -> u64 {
    let objects = json(folder, &["stat", "--json", name]);
    let pages = &objects[0];
    pages["resident_pages"].as_u64().unwrap() * pages["page_bytes"].as_u64().unwrap()
}

#[test]
fn stat_tells_of_any_file() {
    let folder = folder_with(&["data.bin"]);
    let stat = &json(&folder, &["stat", "data.bin", "--json"])[0];
    assert_eq!(stat["file"], "data.bin");
    assert_eq!(stat["bytes"], LEN);
    let page = stat["page_bytes"].as_u64().unwrap();
    assert_eq!(stat["pages"], LEN / page);
    assert_eq!(stat["resident_pages"], LEN / page);
    assert_eq!(stat["mapped_by"], Value::Array(Vec::new()));
    let text = folder.folio(["stat", "data.bin"]).text();
    assert!(
        text.starts_with("file            data.bin\nsize            7.81 MiB (8,192,000 bytes)\n"),
        "{text}"
    );
    assert!(
        text.contains("\n  in memory     2,000 (7.81 MiB, 100.0 %)\n") || page != 4096,
        "{text}"
    );
    assert!(
        text.contains("\nmapped by       no other process\n"),
        "{text}"
    );
}

#[test]
fn stat_tells_of_a_process() {
    let folder = folder_with(&["data.bin"]);
    // It has the file locked, and so in memory, all of it.
    let locker = Locker::start(&folder, &["lock", "data.bin", "--budget", "1M"]);
    let pid = locker.0.0.id().to_string();
    let stat = &json(&folder, &["stat", "--json", "--pid", &pid])[0];
    assert_eq!(stat["command"], "folio");
    let files = stat["files"].as_array().unwrap();
    let path = fs::canonicalize(folder.path("data.bin")).unwrap();
    let held = files
        .iter()
        .find(|file| file["file"] == path.to_str().unwrap())
        .unwrap();
    assert_eq!(held["mapped_bytes"], LEN);
    assert_eq!(held["locked_bytes"], 1 << 20);
    assert!(held["rss_bytes"].as_u64().unwrap() >= 1 << 20);
    let sizes: Vec<_> = files
        .iter()
        .map(|file| file["rss_bytes"].as_u64().unwrap())
        .collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    let text = folder.folio(["stat", "--pid", &pid]).text();
    assert!(
        text.starts_with(&format!("process         {pid} folio\n")),
        "{text}"
    );
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    // And the other way round.
    let stat = &json(&folder, &["stat", "--json", "data.bin"])[0];
    let mapper = &stat["mapped_by"][0];
    assert_eq!(mapper["pid"].to_string(), pid);
    assert_eq!(mapper["locked_bytes"], 1 << 20);
    assert_eq!(mapper["shared_bytes"], 0);

    let finished = folder.folio(["stat", "--pid", "4194305"]);
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(
        finished.stderr,
        "folio: /proc/4194305/smaps: cannot read: no such process\n"
    );
    for wrong in [
        &["stat"][..],
        &["stat", "data.bin", "--pid", "1"],
        &["stat", "--pid", "x"],
    ] {
        assert_eq!(folder.folio(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// `folio lock`, which waits until it is told to end.
struct Locker(Killed);

impl Locker {
    fn start(folder: &Folder, arguments: &[&str]) -> Self {
        let said = folder.path("said");
        let mut command = folder.command(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).unwrap());
        let locker = Self(Killed(command.spawn().unwrap()));
        assert!(within_watchdog(|| {
            fs::read_to_string(&said)
                .unwrap()
                .contains(" locked; Ctrl-C lets go\n")
        }));
        locker
    }
}

#[test]
fn lock_keeps_files_in_memory_until_it_ends() {
    let folder = folder_with(&["a.bin", "b.bin"]);
    let mut locker = Locker::start(&folder, &["lock", "a.bin", "b.bin", "--budget", "9M"]);
    folder.folio(["evict", "a.bin", "b.bin"]).success();
    // All of the first, and the rest of the budget of the second.
    assert_eq!(resident(&folder, "a.bin"), LEN);
    let rest = (9 << 20) - LEN;
    assert!((rest..rest + (2 << 20)).contains(&resident(&folder, "b.bin")));
    send_signal(locker.0.0.id(), Signal::INT);
    assert_eq!(locker.0.wait().code(), Some(0));
    folder.folio(["evict", "a.bin", "b.bin"]).success();
    assert_eq!(resident(&folder, "a.bin") + resident(&folder, "b.bin"), 0);
}

#[test]
fn evict_and_load_by_name_folder_and_pattern() {
    let folder = folder_with(&["a.bin", "b.bin", "c.txt"]);
    let evicted = json(&folder, &["evict", "--json", "*.bin"]);
    assert_eq!(evicted.len(), 2);
    assert!(
        evicted
            .iter()
            .all(|file| file["resident_pages"] == 0 && file["evicted_bytes"] == LEN)
    );
    assert_eq!(resident(&folder, "c.txt"), LEN);
    let loaded = json(&folder, &["load", "--json", "a.bin", "--budget", "1M"]);
    assert_eq!(
        (&loaded[0]["file"], &loaded[0]["loaded_bytes"]),
        (&"a.bin".into(), &(1_u64 << 20).into())
    );
    assert!(resident(&folder, "a.bin") >= 1 << 20);
    let text = folder.folio(["load", "."]).text();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(
        text.starts_with("./a.bin: loaded 7.81 MiB; 7.81 MiB of 7.81 MiB in memory\n"),
        "{text}"
    );
    // Of 24 MB, 10 stay.
    folder.folio(["evict", "--budget", "10M", "."]).success();
    let left: u64 = ["a.bin", "b.bin", "c.txt"]
        .iter()
        .map(|name| resident(&folder, name))
        .sum();
    assert!((9 << 20..=10 << 20).contains(&left), "{left}");
    assert_eq!(resident(&folder, "a.bin"), LEN);

    for command in ["load", "evict", "lock"] {
        let finished = folder.folio([command, "nothing-*"]);
        assert_eq!(finished.status.code(), Some(1));
        let expected = "folio: nothing-*: no such file, and no pattern that any matches\n";
        assert_eq!(finished.stderr, expected);
        let finished = folder.folio([command, "/dev/null"]);
        assert_eq!(finished.status.code(), Some(1));
        assert!(
            finished
                .stderr
                .starts_with("folio: /dev/null: it is no regular file"),
            "{}",
            finished.stderr
        );
        assert_eq!(folder.folio([command]).status.code(), Some(2));
    }
    // One that fails does not keep the others from it.
    let finished = folder.folio(["load", "/dev/null", "a.bin"]);
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(finished.stdout).unwrap().lines().count(),
        1
    );
}

#[test]
fn map_shows_a_strip_and_draws_a_picture() {
    let folder = folder_with(&["data.bin"]);
    let text = folder.folio(["map", "data.bin", "--width", "40"]).text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[0].starts_with("data.bin: 7.81 MiB, 2,000 pages, 2,000 in memory (100.0 %)"),
        "{text}"
    );
    assert_eq!(lines[1], "█".repeat(40));
    assert_eq!(lines[2].chars().count(), 40);
    folder.folio(["evict", "data.bin"]).success();
    folder
        .folio(["load", "--budget", "4M", "data.bin"])
        .success();
    let text = folder.folio(["map", "data.bin", "--svg", "out.svg"]).text();
    let strip = text.lines().nth(1).unwrap();
    assert_eq!(strip.chars().count(), 80);
    assert!(
        strip.starts_with(&"█".repeat(40)) && strip.ends_with(['x', '·']),
        "{text}"
    );
    let picture = fs::read_to_string(folder.path("out.svg")).unwrap();
    assert!(
        picture.starts_with("<svg ") && picture.contains("<title>data.bin</title>"),
        "{picture}"
    );
    let map = &json(&folder, &["map", "--json", "data.bin"])[0];
    let cells = map["cells"].as_array().unwrap();
    assert_eq!((cells.len(), &map["bytes"]), (80, &LEN.into()));
    let sum: u64 = cells
        .iter()
        .map(|cell| cell["resident_pages"].as_u64().unwrap())
        .sum();
    assert_eq!(map["resident_pages"], sum);
    folder.write("empty", b"");
    let text = folder.folio(["map", "empty"]).text();
    assert!(
        text.starts_with("empty: 0 B, 0 pages, 0 in memory"),
        "{text}"
    );
    for wrong in [&["map"][..], &["map", "data.bin", "--width", "0"]] {
        assert_eq!(folder.folio(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let finished = folder.folio(["map", "data.bin", "--svg", "nowhere/out.svg"]);
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished
            .stderr
            .starts_with("folio: nowhere/out.svg: cannot write the picture: ")
    );
}

#[test]
fn watching_renews_the_strip_in_place_and_follows_a_replaced_file() {
    const COLUMNS: u16 = 60;
    if !have(&["setsid"]) {
        return;
    }
    let folder = folder_with(&["data.bin"]);
    let mut terminal = Terminal::open(COLUMNS);
    let mut watcher = terminal.spawn(&folder, "map data.bin --watch --interval-ms 20");
    terminal.await_screen(|screen| screen.contains(&"█".repeat(60)));
    terminal.await_renewals(2);
    folder.folio(["evict", "data.bin"]).success();
    terminal.await_screen(|screen| {
        !screen.contains("████") && screen.lines().any(|line| line.chars().count() == 60)
    });
    folder.write("other", b"short");
    fs::rename(folder.path("other"), folder.path("data.bin")).unwrap();
    let screen = terminal.await_screen(|screen| {
        screen.contains("folio: ") || screen.contains("data.bin: replaced; this is the new one")
    });
    assert!(screen.contains("replaced"), "{screen}");
    terminal.await_screen(|screen| screen.contains("data.bin: 5 B, 1 pages, 1 in memory"));
    terminal.press(b"\x03");
    assert_eq!(watcher.wait().code(), Some(0));
}
