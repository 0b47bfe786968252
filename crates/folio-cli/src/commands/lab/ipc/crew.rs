//! The processes of the experiment: started, killed, replaced.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};

/// So many processes, killed when this is dropped.
pub(super) struct Crew {
    region: PathBuf,
    members: Vec<Child>,
    random: RandomState,
    kills: u64,
}

impl Crew {
    pub(super) fn start(region: &Path, count: u32) -> Outcome<Self> {
        let mut crew = Self {
            region: region.to_owned(),
            members: Vec::new(),
            random: RandomState::new(),
            kills: 0,
        };
        for number in 0..count {
            crew.members.push(crew.member(number)?);
        }
        Ok(crew)
    }

    fn member(&self, number: u32) -> Outcome<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["lab", "ipc", "--child", &number.to_string(), "--folder"])
            .arg(&self.region);
        Ok(command.stdin(Stdio::null()).spawn()?)
    }

    /// Kills one at random, by SIGKILL, and starts another in its place.
    pub(super) fn kill_one(&mut self) -> Outcome {
        self.kills += 1;
        let count = u64::try_from(self.members.len())?.max(1);
        let number = u32::try_from(self.random.hash_one(self.kills) % count)?;
        let successor = self.member(number)?;
        let Some(member) = self.members.get_mut(usize::try_from(number)?) else {
            return Ok(());
        };
        let mut member = std::mem::replace(member, successor);
        if let Some(status) = member.try_wait()? {
            return Err(Failure::new(format!("a process ended by itself: {status}")));
        }
        member.kill()?;
        member.wait()?;
        Ok(())
    }

    /// Waits until all have ended by themselves, and returns how many have not.
    pub(super) fn wait(mut self, patience: Duration) -> Outcome<usize> {
        let start = Instant::now();
        loop {
            let mut running = 0;
            for member in &mut self.members {
                match member.try_wait()? {
                    None => running += 1,
                    Some(status) if status.success() => (),
                    Some(status) => {
                        return Err(Failure::new(format!("a process failed: {status}")));
                    }
                }
            }
            if running == 0 || start.elapsed() > patience {
                return Ok(running);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in &mut self.members {
            // Those that have ended already are none to be told of.
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}
