//! Real input: the package index of a Debian machine, by the commands of the README.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::folder::Folder;
use crate::process::{FOLIO, run};
use crate::program::{have, report, skip};
use crate::server::Server;

/// An index of fewer packages than this is none: the lists were not fetched.
const FEWEST_STANZAS: usize = 1000;

#[test]
fn every_package_is_read_back_byte_for_byte() {
    if !have(&["apt-cache", "awk", "bash", "redis-cli"]) {
        return;
    }
    let index = run(Command::new("apt-cache").arg("dumpavail"), b"").success();
    let (packages, stanzas) = packages(&index);
    if stanzas < FEWEST_STANZAS {
        return skip(&format!(
            "the package index has {stanzas} stanzas: apt-get update fetches it"
        ));
    }
    let folder = Folder::new();
    build_as_the_readme_says(&folder);
    let server = Server::start(&folder, &["packages.folio"]);
    server
        .connect()
        .ask("DBSIZE", &format!(":{}\r\n", packages.len()));

    let requests: Vec<_> = packages
        .keys()
        .map(|name| format!("GET \"{name}\"\n"))
        .collect();
    let mut command = Command::new("redis-cli");
    let replies = run(
        command.args(["-p", &server.port()]),
        requests.concat().as_bytes(),
    );
    assert_eq!(replies.stderr, "");
    let replies = replies.success();
    // Each reply and a line end; values have none, being lines of TSV.
    let mut lines = replies.split(|&byte| byte == b'\n');
    let mut bytes = 0;
    for (name, expected) in &packages {
        let found = lines.next().unwrap_or_default();
        assert!(
            found == expected,
            "{name}: {} found, {} expected",
            found.escape_ascii(),
            expected.escape_ascii()
        );
        bytes += found.len();
    }
    assert_eq!(lines.next(), Some(&b""[..]));
    assert_eq!(lines.next(), None);
    report(&format!(
        "debian index: {stanzas} stanzas, {} packages, {bytes} bytes of values, all equal",
        packages.len()
    ));
    server.stop();
}

/// What each package's value is to be: its stanza, the last one of it, on one line. Also
/// how many stanzas there are.
fn packages(index: &[u8]) -> (BTreeMap<&str, Vec<u8>>, usize) {
    let (mut packages, mut count) = (BTreeMap::new(), 0);
    let mut rest = index.trim_ascii();
    while !rest.is_empty() {
        let end = rest.windows(2).position(|window| window == b"\n\n");
        let (stanza, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.trim_ascii_start();
        let first_line = stanza
            .split(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        let name = first_line.strip_prefix(b"Package: ").unwrap();
        let name = std::str::from_utf8(name).unwrap();
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "+-.:".contains(char);
        assert!(name.chars().all(is_plain), "{name}");
        let mut value = Vec::with_capacity(stanza.len() + 100);
        for &byte in stanza {
            match byte {
                b'\n' => value.extend(br"\n"),
                byte => value.push(byte),
            }
        }
        packages.insert(name, value);
        count += 1;
    }
    (packages, count)
}

/// Runs the README's own command for it, with the folio under test.
fn build_as_the_readme_says(folder: &Folder) {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let start = readme.find("$ apt-cache dumpavail").unwrap();
    let (command, _) = readme[start..].split_once("\n$ ").unwrap();
    let command = command.strip_prefix("$ ").unwrap();
    assert!(
        command.contains("folio build - -o packages.folio"),
        "{command}"
    );

    let path = env::var_os("PATH").unwrap();
    let folders = [Path::new(FOLIO).parent().unwrap().to_owned()]
        .into_iter()
        .chain(env::split_paths(&path));
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("set -o pipefail; {command}")])
        .env("PATH", env::join_paths(folders).unwrap());
    let built = run(folder.at_home(&mut bash), b"");
    assert!(
        built.stderr.starts_with("packages.folio: "),
        "{}",
        built.stderr
    );
    built.success();
}
