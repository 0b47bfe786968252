//! The programs that experiments look at: each reads a file in one of two ways, and holds it.

use std::fs;
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use folio::{Advice, Map, ReadAt};

use crate::failure::{Failure, Outcome};

/// Be a program that holds a file, and does what standard input says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    by: Way,

    file: PathBuf,
}

/// How a program comes by a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// It maps the file.
    Map,
    /// It reads the file into memory of its own.
    Copy,
}

/// What a program can be told to do, by a line; and what it says when it has.
const READY: &str = "ready";
const PAGE_OUT: &str = "page out";
const TOUCH: &str = "touch";

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Copy => "copy",
        }
    }
}

/// What such a program holds.
enum Held {
    Map(Map),
    Copy(Vec<u8>),
}

pub(crate) fn run(args: &Args) -> Outcome {
    let held = Held::load(args)?;
    let mut out = io::stdout();
    writeln!(out, "{READY}")?;
    // Its end is ours.
    for line in io::stdin().lock().lines() {
        let started = Instant::now();
        match line?.as_str() {
            PAGE_OUT => held.page_out()?,
            TOUCH => held.touch()?,
            other => return Err(Failure::new(format!("cannot {other}"))),
        }
        writeln!(out, "{}", started.elapsed().as_nanos())?;
    }
    Ok(())
}

impl Held {
    fn load(args: &Args) -> Outcome<Self> {
        let held = match args.by {
            Way::Map => Self::Map(Map::open(&args.file)?),
            Way::Copy => Self::Copy(fs::read(&args.file)?),
        };
        held.touch()?;
        Ok(held)
    }

    /// Reads a byte of each page.
    fn touch(&self) -> Outcome {
        let page = folio_sys::page::size();
        match self {
            Self::Map(map) => {
                for offset in (0..map.len()).step_by(page) {
                    black_box(map.get::<u8>(offset)?);
                }
            }
            Self::Copy(bytes) => {
                for page in bytes.chunks(page) {
                    black_box(page.first().copied());
                }
            }
        }
        Ok(())
    }

    fn page_out(&self) -> Outcome {
        match self {
            Self::Map(map) => map.advise(.., Advice::PageOut)?,
            Self::Copy(bytes) => folio_sys::advice::page_out(bytes)?,
        }
        Ok(())
    }
}

/// Such a program, seen from outside. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    /// Starts one by a command in front of it, such as one that puts it into a control group.
    pub(crate) fn start(way: Way, file: &Path, group: Option<&Path>) -> Outcome<Self> {
        let us = std::env::current_exe()?;
        let mut command = match group {
            None => Command::new(us),
            Some(group) => {
                // The shell joins the group, and becomes the program: all of its memory is the group's.
                let mut command = Command::new("sh");
                command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
                command.arg(group.join("cgroup.procs")).arg(us);
                command
            }
        };
        command
            .args(["lab", "program", "--by", way.name()])
            .arg(file);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = stdout.ok_or_else(|| Failure::new("a program has no output"))?;
        Ok(Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it holds all of the file.
    pub(crate) fn wait(&mut self) -> Outcome {
        match self.answer()?.as_str() {
            READY => Ok(()),
            other => Err(Failure::new(format!("a program said {other:?}"))),
        }
    }

    /// Has it read a byte of each page, and says how long that took.
    pub(crate) fn touch(&mut self) -> Outcome<Duration> {
        self.ask(TOUCH)
    }

    /// Has it give up its pages, as far as there is a place for them.
    pub(crate) fn page_out(&mut self) -> Outcome<Duration> {
        self.ask(PAGE_OUT)
    }

    fn ask(&mut self, what: &str) -> Outcome<Duration> {
        if let Some(stdin) = &mut self.stdin {
            writeln!(stdin, "{what}")?;
        }
        Ok(Duration::from_nanos(self.answer()?.parse()?))
    }

    fn answer(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            return Err(Failure::new("a program of the experiment ended too early"));
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
