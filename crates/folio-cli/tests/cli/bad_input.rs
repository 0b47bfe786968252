//! What is wrong with an input is said in one line, and leaves nothing behind.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::folder::{Folder, set_len};
use crate::process::{Finished, run};
use crate::server::Server;

/// Runs the command, which must fail as every failure is to look: one line that names
/// `name`, perhaps a hint, status 1, and no file more or less than before.
#[track_caller]
fn fails(folder: &Folder, arguments: &[&str], name: &str) -> String {
    fails_reading(folder, arguments, b"", name)
}

#[track_caller]
fn fails_reading(folder: &Folder, arguments: &[&str], input: &[u8], name: &str) -> String {
    let before = folder.files();
    let finished = folder.folio_reading(arguments, input);
    assert_eq!(folder.files(), before, "{arguments:?}");
    assert_eq!(finished.stdout, b"", "{arguments:?}");
    failure(finished, name)
}

/// The one line, from a run that failed as every failure is to look.
#[track_caller]
fn failure(finished: Finished, name: &str) -> String {
    let stderr = finished.stderr;
    assert_eq!(finished.status.code(), Some(1), "{stderr}");
    let mut lines = stderr.lines();
    let line = lines.next().unwrap_or_default().to_owned();
    assert!(line.starts_with(&format!("folio: {name}: ")), "{stderr}");
    assert!(
        lines.clone().count() <= 1 && lines.all(|line| line.starts_with("hint: ")),
        "{stderr}"
    );
    line
}

/// The same failure, whichever subcommand meets this as a table.
#[track_caller]
fn is_no_table(folder: &Folder, name: &str) -> String {
    let line = fails(folder, &["get", name, "key1"], name);
    if line.ends_with("not a folio table")
        && folder.path(name).is_file()
        && !name.starts_with("/proc")
    {
        // A file, of which there is something to say nevertheless.
        let text = folder.folio(["stat", name]).text();
        assert!(
            text.starts_with(&format!("file            {name}\n")),
            "{text}"
        );
    } else {
        assert_eq!(fails(folder, &["stat", name], name), line);
    }
    let serve = ["serve", "--listen", "127.0.0.1:0", name];
    assert_eq!(fails(folder, &serve, name), line);
    line
}

#[test]
fn files_that_are_no_tables() {
    let folder = Folder::new();
    folder.write("empty", b"");
    folder.write("short", b"key\tvalue\n");
    folder.write("text", "key\tvalue\n".repeat(1000));
    folder.write("zeros", [0; 8192]);
    fs::create_dir(folder.path("folder")).unwrap();
    for (name, expected) in [
        ("empty", "empty file: not a folio table"),
        ("short", "not a folio table"),
        ("text", "not a folio table"),
        ("zeros", "not a folio table"),
        ("folder", "is a directory"),
        ("missing", "No such file or directory"),
        ("/dev/null", "not a folio table"),
        ("/proc/version", "not a folio table"),
    ] {
        let line = is_no_table(&folder, name);
        assert!(line.contains(expected), "{line}: {expected} expected");
    }
    // Serving builds tables from inputs, if it is told that they are inputs.
    let finished = folder.folio(["serve", "--listen", "127.0.0.1:0", "text"]);
    assert!(finished.stderr.contains("hint: "), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("--format tsv"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_table_cut_short_or_added_to() {
    let folder = Folder::new();
    let whole = fs::read(folder.table("t.folio", 1000)).unwrap();
    let len = whole.len();
    let mut lengths = vec![0, 1, 7, 8, 9, 100, 4095, 4096, 4097, 8191, 8192, len / 2];
    lengths.extend([
        len - 4097,
        len - 4096,
        len - 65,
        len - 64,
        len - 63,
        len - 8,
        len - 1,
    ]);
    for cut in lengths {
        folder.write("cut.folio", &whole[..cut]);
        let line = fails(&folder, &["get", "cut.folio", "key1"], "cut.folio");
        let expected = match cut {
            0..8 => "not a folio table".to_owned(),
            8..4096 => format!("4096 bytes expected, but the file has {cut}: it was cut short"),
            _ => format!("{len} bytes expected, but the file has {cut}: it was cut short"),
        };
        assert!(line.contains(&expected), "{line}: {expected} expected");
    }
    folder.write("cut.folio", &whole[..5000]);
    is_no_table(&folder, "cut.folio");
    folder.write("longer.folio", [&whole[..], b"x"].concat());
    let line = is_no_table(&folder, "longer.folio");
    assert!(line.ends_with("it was added to"), "{line}");
}

#[test]
fn a_table_with_a_damaged_header() {
    let folder = Folder::new();
    let whole = fs::read(folder.table("t.folio", 1000)).unwrap();
    // All fields stand in the beginning; the rest is zeros, and checked as well.
    // Each position is tried in the tests of folio-table.
    let positions = (0..48).map(|i| i * 5).chain((0..18).map(|i| 255 + i * 225));
    for position in positions.chain([4095]) {
        let mut damaged = whole.clone();
        damaged[position] ^= 1 << (position % 8);
        folder.write("bad.folio", damaged);
        let line = fails(&folder, &["get", "bad.folio", "key1"], "bad.folio");
        // The magic comes first; whatever else is damaged, the checksum tells.
        let expected = if position < 8 {
            "not a folio table"
        } else {
            ""
        };
        assert!(line.contains(expected), "byte {position}: {line}");
    }
}

#[test]
fn a_table_whose_records_are_damaged() {
    let folder = Folder::new();
    let path = folder.table("t.folio", 1000);
    let whole = fs::read(&path).unwrap();
    let found = find(&whole, b"value7");
    // The lengths before it, its key, its value, and what follows: whatever a lookup
    // makes of it, it does not panic, and what it says looks as it always does.
    for position in found - 16..found + 16 {
        let mut damaged = whole.clone();
        damaged[position] ^= 0xff;
        fs::write(&path, damaged).unwrap();
        let finished = folder.folio(["get", "t.folio", "key7", "key70", "key700"]);
        assert!(finished.status.code().is_some_and(|code| code <= 1));
        let stderr = finished.stderr;
        assert!(
            stderr
                .lines()
                .all(|line| line.starts_with("folio: t.folio: ")),
            "{stderr}"
        );
    }
}

fn find(bytes: &[u8], sought: &[u8]) -> usize {
    let mut windows = bytes.windows(sought.len());
    windows.position(|window| window == sought).unwrap()
}

#[test]
fn inputs_that_are_no_records() {
    let folder = Folder::new();
    folder.write("t.tsv", "a\t1\nb\t2\nno value\nc\t3\n");
    folder.write("blank.tsv", "a\t1\n\n");
    folder.write("key.tsv", "a\t1\n\tvalue\n");
    folder.write("long.tsv", format!("{}\tvalue\n", "k".repeat(70_000)));
    folder.write("t.csv", "name,email\nAda,ada@example.org\n");
    folder.write("ragged.csv", "name,email\nAda,ada@example.org\nBob\n");
    folder.write("empty.csv", "");
    folder.write("t.jsonl", "{\"key\":\"a\"}\n{\"id\":\"b\"}\n");
    folder.write("no.jsonl", "{\"key\":\"a\"}\n[1]\n");
    folder.write("cut.jsonl", "{\"key\":\"a\"}\n{\"key\":\"b\n");
    folder.write("twice.tsv", "a\t1\na\t2\n");
    for (input, options, expected) in [
        ("t.tsv", "", "line 3: no tab, so no value"),
        ("blank.tsv", "", "line 2: no tab, so no value"),
        ("key.tsv", "", "line 2: the key is empty"),
        ("long.tsv", "", "line 1: the key has 70000 bytes"),
        ("t.tsv", "--key a", "TSV has no header"),
        (
            "t.csv",
            "--key id",
            "no column \"id\": the columns are name, email",
        ),
        (
            "t.csv",
            "--key 3",
            "no column \"3\": the columns are name, email",
        ),
        (
            "t.csv",
            "--value 0",
            "no column \"0\": the columns are name, email",
        ),
        ("ragged.csv", "", "line 3: 1 fields, but the header has 2"),
        ("empty.csv", "", "line 1: no header"),
        ("t.jsonl", "", "line 2: no field \"key\""),
        ("no.jsonl", "", "line 2: not a JSON object"),
        ("cut.jsonl", "", "line 2: not a JSON object"),
        ("t.jsonl", "--key id --value key", "line 1: no field \"id\""),
        (
            "twice.tsv",
            "",
            "line 2: duplicate key \"a\", first given on line 1",
        ),
        ("missing.tsv", "", "No such file or directory"),
    ] {
        let options: Vec<_> = options.split_whitespace().collect();
        let build = [&["build", input, "-o", "out.folio"][..], &options].concat();
        let line = fails(&folder, &build, input);
        assert!(line.contains(expected), "{line}: {expected} expected");
        // Serving an input builds it first, in the cache folder.
        let serve = [&["serve", input, "--listen", "127.0.0.1:0"][..], &options].concat();
        assert_eq!(fails(&folder, &serve, input), line);
    }
    let line = fails_reading(
        &folder,
        &["build", "-", "-o", "out.folio"],
        b"a\t1\nb",
        "<stdin>",
    );
    assert!(line.contains("line 2: no tab"), "{line}");
    let line = fails_reading(&folder, &["serve", "-"], b"a\t1\na\t2\n", "<stdin>");
    assert!(line.contains("line 2: duplicate key"), "{line}");
}

#[test]
fn places_that_no_table_can_be_written_to() {
    let folder = Folder::new();
    folder.write("t.tsv", "a\t1\n");
    fs::create_dir(folder.path("folder")).unwrap();
    fs::create_dir(folder.path("locked")).unwrap();
    for (out, expected) in [
        ("folder", "it is a folder"),
        ("folder/.", "it is a folder"),
        ("..", "it is not the name of a file"),
        ("/dev/null", "it is not a regular file"),
        (
            "missing/t.folio",
            "cannot create: No such file or directory",
        ),
        ("t.tsv/t.folio", "Not a directory"),
        // Nobody can make files there, not even root.
        ("/proc/t.folio", "cannot create: "),
    ] {
        let line = fails(&folder, &["build", "t.tsv", "-o", out], out);
        assert!(line.contains(expected), "{line}: {expected} expected");
    }
    let locked = folder.path("locked");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(locked.join("file"), b"").is_err() {
        let line = fails(
            &folder,
            &["build", "t.tsv", "-o", "locked/t.folio"],
            "locked/t.folio",
        );
        assert!(line.contains("Permission denied"), "{line}");
    }
}

#[test]
fn folders_in_the_place_of_files() {
    let folder = Folder::new();
    fs::create_dir(folder.path("folder")).unwrap();
    fs::create_dir(folder.path("folder.tsv")).unwrap();
    for arguments in [
        &["build", "folder", "-o", "t.folio"][..],
        &["cat", "folder"],
        &["get", "folder", "key"],
        &["stat", "folder"],
        &["serve", "folder"],
        &["serve", "folder", "--format", "tsv"],
    ] {
        let line = fails(&folder, arguments, "folder");
        assert!(line.ends_with("is a directory"), "{line}");
    }
    fails(&folder, &["serve", "folder.tsv"], "folder.tsv");
    folder.write("file", b"");
    fails(&folder, &["man", "--out", "file"], "file");
}

#[test]
fn a_cache_folder_that_cannot_be_made() {
    let folder = Folder::new();
    folder.write("t.tsv", "a\t1\n");
    folder.write("file", b"");
    let cache = folder.path("file");
    let mut command = folder.command(["serve", "t.tsv", "--listen", "127.0.0.1:0"]);
    let finished = run(command.env("XDG_CACHE_HOME", &cache), b"");
    failure(finished, &cache.join("folio").display().to_string());
    let finished = run(command.env_remove("XDG_CACHE_HOME").env("HOME", ""), b"");
    let line = failure(finished, "no folder for cached tables");
    assert!(line.contains("neither XDG_CACHE_HOME nor HOME"), "{line}");
}

#[test]
fn a_tcp_address_in_use() {
    let folder = Folder::new();
    folder.table("t.folio", 10);
    let server = Server::start(&folder, &["t.folio"]);
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [server.address(), foreign.local_addr().unwrap()] {
        let address = address.to_string();
        let arguments = ["serve", "t.folio", "--listen", &address];
        let line = fails(&folder, &arguments, &address);
        assert!(line.contains("address in use"), "{line}");
    }
    server.connect().ask("PING", "+PONG\r\n");
    server.stop();
}

#[test]
fn a_unix_socket_in_use() {
    let folder = Folder::new();
    folder.table("t.folio", 10);
    let server = Server::start(&folder, &["t.folio", "--unix", "served"]);
    let foreign = UnixListener::bind(folder.path("foreign")).unwrap();
    folder.write("file", b"precious");
    for (path, expected) in [
        ("served", "address in use"),
        ("foreign", "address in use"),
        ("file", "exists and is no socket"),
        ("missing/socket", "No such file or directory"),
    ] {
        let line = fails(&folder, &["serve", "t.folio", "--unix", path], path);
        assert!(line.contains(expected), "{line}: {expected} expected");
    }
    drop(foreign);
    assert_eq!(fs::read(folder.path("file")).unwrap(), b"precious");
    server.stop();
}

#[test]
fn wrong_usage() {
    let folder = Folder::new();
    for arguments in [
        "",
        "nonsense",
        "build",
        "build t.tsv",
        "build t.tsv -o t.folio --format xml",
        "build t.tsv -o t.folio --on-duplicate all",
        "get",
        "get t.folio",
        "stat",
        "cat",
        "cat file --offset -1",
        "cat file --length 5x",
        "serve --workers 0",
        "serve --workers many",
        "serve --listen nowhere",
        "serve --populate perhaps",
        "completions sh",
        "man nonsense",
        "man get --out folder",
    ] {
        let finished = folder.folio(arguments.split_whitespace());
        assert_eq!(finished.status.code(), Some(2), "{arguments}");
        assert!(finished.stderr.contains("Usage: ") || finished.stderr.contains("--help"));
        assert_eq!(finished.stdout, b"");
    }
    assert!(folder.files().is_empty());
}

#[test]
fn a_table_truncated_while_it_is_served() {
    let folder = Folder::new();
    let table = folder.table("t.folio", 2000);
    folder.table("second.folio", 3);
    let whole = fs::read(&table).unwrap();
    let mut server = Server::start(&folder, &["t.folio", "second.folio", "--workers", "3"]);
    let mut workers = server.connect_each();
    // The header, half of the records, and not even that.
    for len in [4096, 8192, 0] {
        rewrite(&table, &whole);
        for client in workers.values_mut() {
            client.ask("GET key1999", "$9\r\nvalue1999\r\n");
        }
        set_len(&table, len);
        for client in workers.values_mut() {
            client.send("GET key1999\r\n");
            let error = client.line();
            assert!(error.starts_with("-ERR table 0: t.folio: "), "{error}");
            client.ask("PING", "+PONG\r\n");
            client.ask("SELECT 1", "+OK\r\n");
            client.ask("GET key2", "$6\r\nvalue2\r\n");
            client.ask("SELECT 0", "+OK\r\n");
        }
    }
    let line = server.await_line(|line| line.starts_with("folio: worker "));
    assert!(line.contains("t.folio"), "{line}");
    // The same processes as at the beginning, on their old and on new connections.
    for (pid, client) in &mut workers {
        assert_eq!(client.worker_pid(), *pid);
    }
    assert!(server.connect_each().keys().eq(workers.keys()));
    let lines = server.lines_so_far();
    assert!(
        !lines.iter().any(|line| line.contains("ended by")),
        "{lines:?}"
    );
    server.stop();
}

/// Writes into the file that is there, so that mappings are of it.
fn rewrite(path: &Path, bytes: &[u8]) {
    let inode = || fs::metadata(path).unwrap().ino();
    let before = inode();
    fs::write(path, bytes).unwrap();
    assert_eq!(inode(), before);
}

#[test]
fn names_with_line_ends_stay_on_one_line() {
    let folder = Folder::new();
    let finished = folder.folio(["get", "no\nsuch\rfile", "key"]);
    failure(finished, "no such file");
}
