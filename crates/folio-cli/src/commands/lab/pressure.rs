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
    means: Means,
}

/// How a group's memory is taken (the kernel's admin-guide: cgroup-v1/memory.rst and cgroup-v2.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// Version 1: the limit is lowered.
    Limit,
    /// Version 2, since Linux 5.19: so much is asked for.
    Reclaim,
    /// Version 2 before that: the limit above which the kernel reclaims, and kills nobody, is lowered.
    High,
}

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";
/// How often memory is asked for: the kernel gives up early.
const ATTEMPTS: u32 = 5;

impl Pressure {
    /// A new control group, where this user may make one.
    pub(super) fn new(name: &str) -> Self {
        match Group::new(Path::new(ROOT), name) {
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
            Self::Group(group) => {
                let version = group.means.version();
                format!("a memory control group (version {version})")
            }
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

impl Means {
    fn version(self) -> u8 {
        match self {
            Self::Limit => 1,
            Self::Reclaim | Self::High => 2,
        }
    }

    /// The file of the group that it is done by.
    fn file(self) -> &'static str {
        match self {
            Self::Limit => "memory.limit_in_bytes",
            Self::Reclaim => "memory.reclaim",
            Self::High => "memory.high",
        }
    }
}

impl Group {
    /// Makes a group below the root of all.
    fn new(root: &Path, name: &str) -> Result<Self, String> {
        let is_v2 = fs::read_to_string(root.join("cgroup.controllers"))
            .is_ok_and(|controllers| controllers.split_whitespace().any(|word| word == "memory"));
        let parent = if is_v2 {
            // It is on already, or the group's files tell.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
            root.to_owned()
        } else {
            root.join("memory")
        };
        let path = parent.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("no control group can be made: {error}"))?;
        Self::of(path, is_v2)
    }

    /// A group that is there. It is removed if it is of no use.
    fn of(path: PathBuf, is_v2: bool) -> Result<Self, String> {
        let all: &[Means] = if is_v2 {
            &[Means::Reclaim, Means::High]
        } else {
            &[Means::Limit]
        };
        let found = all.iter().find(|means| path.join(means.file()).exists());
        if let Some(&means) = found {
            return Ok(Self { path, means });
        }
        let _ = fs::remove_dir(&path);
        let missing: Vec<_> = all.iter().map(|means| means.file()).collect();
        Err(format!(
            "control groups here have no {}",
            missing.join(" or ")
        ))
    }

    fn shrink(&self, left_bytes: u64) -> io::Result<()> {
        match self.means {
            Means::Limit => self.lower_limit(left_bytes, "-1"),
            Means::High => self.lower_limit(left_bytes, "max"),
            Means::Reclaim => self.reclaim(left_bytes),
        }
    }

    /// Lowering the limit takes the surplus away, or fails where that cannot be; raised again, it
    /// is in nobody's way. Each time takes some.
    fn lower_limit(&self, left_bytes: u64, none: &str) -> io::Result<()> {
        let limit = self.path.join(self.means.file());
        let mut outcome = Ok(());
        for _ in 0..ATTEMPTS {
            outcome = fs::write(&limit, left_bytes.to_string());
            if outcome.is_ok() {
                break;
            }
        }
        fs::write(limit, none)?;
        outcome
    }

    fn reclaim(&self, left_bytes: u64) -> io::Result<()> {
        let mut outcome = Ok(());
        for _ in 0..ATTEMPTS {
            let used = fs::read_to_string(self.path.join("memory.current"))?;
            let used: u64 = used.trim().parse().map_err(io::Error::other)?;
            let surplus = used.saturating_sub(left_bytes);
            if surplus == 0 {
                return Ok(());
            }
            // EAGAIN: that much could not be had. Some was.
            outcome = fs::write(self.path.join(self.means.file()), surplus.to_string());
            if outcome.is_ok() {
                break;
            }
        }
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

/// A folder is no control group, but shows what is written to which file.
#[cfg(test)]
mod tests {
    use super::*;

    fn tree(controllers: Option<&str>) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("memory")).unwrap();
        if let Some(controllers) = controllers {
            fs::write(root.path().join("cgroup.controllers"), controllers).unwrap();
        }
        root
    }

    /// A group with these files, which hold numbers.
    fn group(root: &Path, files: &[(&str, &str)], is_v2: bool) -> Result<Group, String> {
        let path = root.join("group");
        fs::create_dir(&path).unwrap();
        for (name, content) in files {
            fs::write(path.join(name), content).unwrap();
        }
        Group::of(path, is_v2)
    }

    fn content(group: &Group, file: &str) -> String {
        fs::read_to_string(group.path.join(file)).unwrap()
    }

    /// So that it is empty, as the kernel's own is for those who remove it.
    fn empty(group: &Group) {
        for entry in fs::read_dir(&group.path).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    #[test]
    fn version_2_is_known_by_its_controllers() {
        for (controllers, expected, is_enabled) in [
            (
                Some("cpuset cpu memory pids\n"),
                "memory.reclaim or memory.high",
                true,
            ),
            // Where systemd has both, memory is version 1's.
            (Some("hugetlb\n"), "memory.limit_in_bytes", false),
            (None, "memory.limit_in_bytes", false),
        ] {
            let root = tree(controllers);
            // A folder of any other file system is given no files.
            let why = Group::new(root.path(), "test").unwrap_err();
            assert_eq!(why, format!("control groups here have no {expected}"));
            let enabled = fs::read_to_string(root.path().join("cgroup.subtree_control"));
            assert_eq!(enabled.is_ok_and(|words| words == "+memory"), is_enabled);
            assert_eq!(fs::read_dir(root.path().join("memory")).unwrap().count(), 0);
            let left = fs::read_dir(root.path()).unwrap();
            let left = left.filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().starts_with("test")
            });
            assert_eq!(left.count(), 0);
        }
    }

    #[test]
    fn version_2_is_asked_for_what_is_too_much() {
        let root = tree(None);
        let files = [
            ("memory.current", "1000\n"),
            ("memory.reclaim", ""),
            ("memory.high", "max"),
        ];
        let group = group(root.path(), &files, true).unwrap();
        group.shrink(300).unwrap();
        assert_eq!(content(&group, "memory.reclaim"), "700");
        fs::write(group.path.join("memory.reclaim"), "").unwrap();
        group.shrink(1000).unwrap();
        assert_eq!(content(&group, "memory.reclaim"), "");
        assert_eq!(content(&group, "memory.high"), "max");
        fs::write(group.path.join("memory.current"), "many").unwrap();
        assert!(group.shrink(300).is_err());
        empty(&group);
        let (path, pressure) = (group.path.clone(), Pressure::Group(group));
        assert_eq!(pressure.describe(), "a memory control group (version 2)");
        assert_eq!(pressure.group(), Some(path.as_path()));
        drop(pressure);
        assert!(!path.exists());
    }

    #[test]
    fn limits_are_raised_again() {
        for (file, is_v2, none) in [
            ("memory.high", true, "max"),
            ("memory.limit_in_bytes", false, "-1"),
        ] {
            let root = tree(None);
            let group = group(root.path(), &[(file, "as it was")], is_v2).unwrap();
            group.shrink(300).unwrap();
            assert_eq!(content(&group, file), none);
            assert_eq!(group.means.version(), if is_v2 { 2 } else { 1 });
            empty(&group);
        }
    }
}
