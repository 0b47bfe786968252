//! Child processes: how they are made, waited for, and what they do.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use folio_ipc::{Data, Region};

use crate::work::{Kind, Tools};

/// Nothing here takes that long, unless it hangs.
const LONGEST: Duration = Duration::from_secs(60);

/// What the parent says to its children.
pub(crate) const GO_ON: u32 = 0;
pub(crate) const FINISH: u32 = 1;

/// How many operations each survivor still does when it is to finish.
const LAST_OPERATIONS: u32 = 30;

/// What a child works on.
#[derive(Clone, Copy)]
pub(crate) enum Task {
    One(Kind),
    All,
}

/// A child process, which ends with this value.
pub(crate) struct Worker {
    process: Child,
}

impl Worker {
    /// Starts a child that works until it is told to finish. It kills itself at `kill_point`, if there is one.
    pub(crate) fn start(path: &Path, number: u32, task: Task, kill_point: Option<&str>) -> Self {
        let task = match task {
            Task::One(kind) => kind.name(),
            Task::All => "all",
        };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .arg("--child")
            .arg(path)
            .args([&number.to_string(), task])
            .env_remove("FOLIO_KILL_POINT");
        if let Some(point) = kill_point {
            command.env("FOLIO_KILL_POINT", point);
        }
        Self {
            process: command.spawn().unwrap(),
        }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for its end, no longer than this.
    pub(crate) fn ends_within(&mut self, time: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return Some(status);
            }
            if began.elapsed() > time {
                return None;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for it to finish: it must not fail, and not hang.
    pub(crate) fn finish(&mut self, what: &str) {
        match self.ends_within(LONGEST) {
            Some(status) => assert!(status.success(), "{what}: a survivor ended with {status}"),
            None => panic!("{what}: a survivor hangs (process {})", self.process.id()),
        }
    }

    /// Whether SIGKILL ended it.
    pub(crate) fn is_killed(status: ExitStatus) -> bool {
        status.signal() == Some(9)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended, and been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The life of a child.
pub(crate) fn live(arguments: &[String]) {
    let [path, number, task] = arguments else {
        panic!("a child is given a path, a number, and a task");
    };
    let number: u32 = number.parse().unwrap();
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| task == "all" || task == kind.name())
        .collect();
    report_panics(path);
    let region = Region::open(path).unwrap();
    let phase = region.open_object::<Data<u32>>("phase").unwrap();
    let at = region
        .open_object::<Data<u32>>(&format!("at-{number}"))
        .unwrap();
    let tools = Tools::new(&region, number);
    let mut left = LAST_OPERATIONS;
    while left > 0 {
        if phase.get().unwrap() == FINISH {
            left -= 1;
        }
        let kind = kinds[tools.random() as usize % kinds.len()];
        at.set(&(kind as u32)).unwrap();
        tools.work(kind);
    }
}

/// Where a child that fails says why: it may be killed before it has ended.
fn failure_of(path: &Path) -> PathBuf {
    path.with_extension("failure")
}

fn report_panics(path: &str) {
    let failure = failure_of(Path::new(path));
    std::panic::set_hook(Box::new(move |panic| {
        let _ = std::fs::write(&failure, panic.to_string());
        eprintln!("{panic}");
    }));
}

/// Fails if any child has.
pub(crate) fn expect_no_failure(path: &Path) {
    if let Ok(failure) = std::fs::read_to_string(failure_of(path)) {
        panic!("a child failed: {failure}");
    }
}

/// A region for some children.
pub(crate) fn region_for(path: &Path, children: u32) -> Region {
    let region = Region::options()
        .size_bytes(4 << 20)
        .threads(64)
        .create(path)
        .unwrap();
    region.object::<Data<u32>>("phase").unwrap();
    for number in 0..children {
        region.object::<Data<u32>>(&format!("at-{number}")).unwrap();
    }
    Tools::new(&region, children);
    region
}

pub(crate) fn say(region: &Region, phase: u32) {
    region
        .open_object::<Data<u32>>("phase")
        .unwrap()
        .set(&phase)
        .unwrap();
}
