//! What a process that dies leaves to the others who use a lock of the C library's, of
//! Boost.Interprocess's or of folio-ipc's: one is killed, and this prints who goes on and who hangs.
//! `peers/death.cpp` does it with the first two, `death/folio.rs` with the last.
//!
//! ```sh
//! cargo test --release -p folio-bench --test death -- --nocapture
//! ```
//!
//! A survivor hangs if one step takes it longer than five seconds. How soon the random scripts hang
//! differs from run to run, and so may whether they do.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "death/folio.rs"]
mod folio;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long each step of a survivor may take: it is what all wait for who hang.
const SECONDS: u64 = 5;

/// How long a script may take that does not hang, on the slowest machine there is.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many scripts run at a time. Those that hang take no processor.
const AT_A_TIME: usize = 4;

/// The number of the signal by which a script ends that hangs.
const SIGALRM: i32 = 14;

const SCRIPTS: [&str; 3] = ["holding", "waiting", "random"];

#[test]
fn what_the_dead_leave_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let program = compile();
    let mut scripts = program.as_deref().map(list).unwrap_or_default();
    if !scripts.iter().any(|(peer, _)| peer.starts_with("boost")) {
        skip("Boost.Interprocess (a compiler, or its headers: libboost-dev)");
    }
    scripts.extend(folio::list());
    let command = |peer: &str, script: &str| match &program {
        Some(program) if !peer.starts_with("folio") => {
            let mut command = Command::new(program);
            command.args([peer, script, &SECONDS.to_string()]);
            command
        }
        _ => folio::command(
            peer,
            script,
            &folder.path().join(format!("{peer}-{script}")),
        ),
    };
    let outcomes = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(script) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let command = command(&script.0, &script.1);
                    let outcome = run(command, &format!("{} {}", script.0, script.1));
                    outcomes.lock().unwrap().insert(script.clone(), outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    print(&scripts, &outcomes);
    let outcome =
        |peer: &str, script: &str| outcomes[&(peer.to_owned(), script.to_owned())].clone();
    for (script, outcome) in &outcomes {
        assert!(
            !script.0.starts_with("folio") || outcome.starts_with("goes on"),
            "{script:?}"
        );
    }
    if program.is_none() {
        return;
    }
    // What POSIX says, so that the scripts are known to do what they are meant to.
    assert!(outcome("pthread_mutex", "holding").starts_with("hangs"));
    assert_eq!(outcome("pthread_mutex", "waiting"), "goes on");
    for script in ["holding", "random"] {
        assert!(outcome("pthread_mutex_robust", script).starts_with("goes on, told"));
    }
}

/// No test, but what the processes of [`folio`] do.
#[test]
fn role() {
    folio::play();
}

fn skip(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "missing: {what}");
    println!("skipped: {what}");
}

/// The program, if there is a compiler.
fn compile() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("death");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/death.cpp");
    let compiled = Command::new("c++")
        .args([
            "-std=c++17",
            "-O1",
            "-pthread",
            "-Wall",
            "-Wextra",
            source,
            "-o",
        ])
        .arg(&program)
        .arg("-lrt")
        .output();
    match compiled {
        Ok(output) => {
            assert!(output.status.success(), "{}", stderr_of(&output));
            Some(program)
        }
        Err(error) => {
            skip(&format!("all (c++: {error})"));
            None
        }
    }
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All peers, and the scripts that each has.
fn list(program: &Path) -> Vec<(String, String)> {
    let output = Command::new(program).arg("list").output().unwrap();
    assert!(output.status.success(), "{}", stderr_of(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(peer, script)| (peer.to_owned(), script.to_owned()))
        .collect()
}

/// How a script ended: what the program says, or that it hangs, and where.
fn run(mut command: Command, name: &str) -> String {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    // It writes less than a pipe holds.
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            // Its own children end with it.
            child.kill().unwrap();
            panic!("{name}: still running after {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let is_outcome = |line: &&str| line.starts_with("in round") || line.starts_with("goes on");
    let last = said.lines().rev().find(is_outcome).unwrap_or_default();
    match output.status.signal() {
        Some(SIGALRM) => format!("hangs {last}").trim_end().to_owned(),
        _ if output.status.success() => last.to_owned(),
        _ => panic!("{name}: {}\n{}", output.status, stderr_of(&output)),
    }
}

fn print(scripts: &[(String, String)], outcomes: &BTreeMap<(String, String), String>) {
    println!(
        "{:22} {:26} {:26} one is killed at random",
        "", "its holder is killed", "who waits for it is killed"
    );
    let mut peers: Vec<&String> = scripts.iter().map(|(peer, _)| peer).collect();
    peers.dedup();
    for peer in peers {
        let [holding, waiting, random] = SCRIPTS.map(|script| {
            let outcome = outcomes.get(&(peer.clone(), script.to_owned()));
            outcome.map_or("-", String::as_str)
        });
        println!("{peer:22} {holding:26} {waiting:26} {random}");
    }
}
