//! Taking memory away from a program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::program::Program;
use crate::failure::Outcome;

/// By what means memory is taken away.
#[derive(Debug)]
pub(super) enum Pressure {
    /// A control group, of version 1 or 2, that the program is in.
    Group(Group),
    /// The program gives it up itself (`MADV_PAGEOUT`).
    PageOut {
        /// Why it is not a control group.
        why: String,
    },
}

/// A memory control group, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
    version: u8,
}

const V1: &str = "/sys/fs/cgroup/memory";
const V2: &str = "/sys/fs/cgroup";

impl Pressure {
    /// A new control group, where this user may make one.
    pub(super) fn new(name: &str) -> Self {
        match Group::new(name) {
            Ok(group) => Self::Group(group),
            Err(why) => Self::PageOut { why },
        }
    }

    /// The group that the program is to be started in.
    pub(super) fn group(&self) -> Option<&Path> {
        match self {
            Self::Group(group) => Some(&group.path),
            Self::PageOut { .. } => None,
        }
    }

    /// The means, in words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Group(group) => format!("a memory control group (version {})", group.version),
            Self::PageOut { why } => format!("MADV_PAGEOUT ({why})"),
        }
    }

    /// Takes memory away until about so much is left, as far as the kernel can.
    pub(super) fn apply(&self, program: &mut Program, left_bytes: u64) -> Outcome {
        match self {
            Self::PageOut { .. } => program.page_out().map(drop),
            Self::Group(group) => {
                // That not all could be had is a finding, not a failure.
                let _ = group.shrink(left_bytes);
                Ok(())
            }
        }
    }
}

impl Group {
    fn new(name: &str) -> Result<Self, String> {
        let is_v2 = fs::read_to_string(Path::new(V2).join("cgroup.controllers"))
            .is_ok_and(|controllers| controllers.split_whitespace().any(|word| word == "memory"));
        let (version, parent) = if is_v2 { (2, V2) } else { (1, V1) };
        let path = Path::new(parent).join(format!("{name}-{}", std::process::id()));
        let refused = |error: io::Error| format!("no control group can be made: {error}");
        if is_v2 {
            // It is on already, or the next step tells.
            let _ = fs::write(Path::new(V2).join("cgroup.subtree_control"), "+memory");
        }
        fs::create_dir(&path).map_err(refused)?;
        let group = Self { path, version };
        let needed = if is_v2 {
            "memory.reclaim"
        } else {
            "memory.limit_in_bytes"
        };
        if group.path.join(needed).exists() {
            Ok(group)
        } else {
            Err(format!("control groups here have no {needed}"))
        }
    }

    fn shrink(&self, left_bytes: u64) -> io::Result<()> {
        let at = |file: &str| self.path.join(file);
        if self.version == 2 {
            let used = fs::read_to_string(at("memory.current"))?;
            let used: u64 = used.trim().parse().map_err(io::Error::other)?;
            return fs::write(
                at("memory.reclaim"),
                used.saturating_sub(left_bytes).to_string(),
            );
        }
        // Lowering the limit takes the surplus away, or fails where that cannot be; raised again, it
        // is in nobody's way. Each time takes some: the kernel gives up after a few rounds.
        let mut outcome = Ok(());
        for _ in 0..5 {
            outcome = fs::write(at("memory.limit_in_bytes"), left_bytes.to_string());
            if outcome.is_ok() {
                break;
            }
        }
        fs::write(at("memory.limit_in_bytes"), "-1")?;
        outcome
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last of its processes may be on its way out.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
