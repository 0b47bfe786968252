//! Help, man pages and completions.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::folder::Folder;
use crate::process::run;
use crate::program::have;

const SUBCOMMANDS: [&str; 17] = [
    "build",
    "get",
    "scan",
    "dump",
    "serve",
    "stat",
    "map",
    "load",
    "evict",
    "lock",
    "verify",
    "store",
    "cat",
    "probe",
    "lab",
    "completions",
    "man",
];

#[test]
fn there_is_help_for_each_subcommand() {
    let folder = Folder::new();
    let overview = folder.folio(["--help"]).text();
    for name in SUBCOMMANDS {
        assert!(overview.contains(&format!("\n  {name} ")), "{name}");
        let help = folder.folio(["help", name]).text();
        assert!(help.contains(&format!("Usage: folio {name}")), "{help}");
        assert_eq!(folder.folio([name, "--help"]).text(), help);
        assert!(folder.folio([name, "-h"]).text().len() <= help.len());
    }
    let version = folder.folio(["--version"]).text();
    assert_eq!(version, format!("folio {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn there_is_a_man_page_for_each_subcommand() {
    let folder = Folder::new();
    assert_eq!(folder.folio(["man", "--out", "man1"]).text(), "");
    let mut expected: BTreeSet<_> = SUBCOMMANDS
        .iter()
        .map(|name| format!("folio-{name}.1"))
        .collect();
    expected.insert("folio.1".to_owned());
    for name in &expected {
        let page = fs::read_to_string(folder.path("man1").join(name)).unwrap();
        let title = name.strip_suffix(".1").unwrap();
        let heading = format!(".TH {title} 1 ");
        assert!(
            page.contains(&heading) && page.contains(".SH DESCRIPTION"),
            "{page}"
        );
        let subcommand = title.strip_prefix("folio-");
        let printed = folder.folio(["man"].into_iter().chain(subcommand)).text();
        assert_eq!(printed, page, "{name}");
    }
    let found = folder.files();
    let found = found
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap());
    assert!(
        expected
            .iter()
            .all(|name| found.clone().any(|found| found == name))
    );
}

#[test]
fn shells_understand_the_completions() {
    let folder = Folder::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = folder.folio(["completions", shell]).text();
        for name in SUBCOMMANDS {
            assert!(script.contains(name), "{shell}: {name}");
        }
    }
    if !have(&["bash"]) {
        return;
    }
    let script = folder.folio(["completions", "bash"]).success();
    let path = folder.write("folio.bash", script);
    let finished = run(Command::new("bash").arg("-n").arg(&path), b"");
    assert_eq!(finished.stderr, "");
    finished.success();
    // As bash does when the user has typed `folio sta` and presses tab.
    let complete = r#"source "$0"; COMP_WORDS=(folio sta); COMP_CWORD=1; COMPREPLY=()
        _folio folio sta folio; printf '%s\n' "${COMPREPLY[@]}""#;
    let finished = run(Command::new("bash").args(["-c", complete]).arg(&path), b"");
    assert_eq!(finished.text(), "stat\n");
}
