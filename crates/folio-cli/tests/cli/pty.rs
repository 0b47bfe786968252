//! A pseudoterminal with a program on it (`pty(7)`).

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::folder::Folder;
use crate::process::{FOLIO, Killed, WATCHDOG};
use crate::screen::Screen;

const ROWS: u16 = 40;

/// The side of it where a user would sit.
#[derive(Debug)]
pub(crate) struct Terminal {
    controller: File,
    /// The program's side, until it has it.
    program_side: Option<OwnedFd>,
    columns: u16,
    output: Receiver<Vec<u8>>,
    /// All that was written to it.
    written: Vec<u8>,
}

impl Terminal {
    pub(crate) fn open(columns: u16) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let size = Winsize {
            ws_row: ROWS,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&controller, size).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let program_side = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        let controller = File::from(controller);
        let output = read_chunks(controller.try_clone().unwrap());
        Self {
            controller,
            program_side: Some(program_side),
            columns,
            output,
            written: Vec::new(),
        }
    }

    /// Runs folio on it, in a session of its own whose controlling terminal it is.
    pub(crate) fn spawn(&mut self, folder: &Folder, arguments: &str) -> Killed {
        let program_side = self.program_side.take().unwrap();
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", FOLIO])
            .args(arguments.split(' '))
            .env("TERM", "xterm")
            .stdin(program_side.try_clone().unwrap())
            .stdout(program_side.try_clone().unwrap())
            .stderr(program_side);
        Killed(folder.at_home(&mut command).spawn().unwrap())
    }

    /// Types something.
    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.controller.write_all(keys).unwrap();
    }

    /// Waits until what is to be seen is what is sought, and gives it.
    #[track_caller]
    pub(crate) fn await_screen(&mut self, is_sought: impl Fn(&str) -> bool) -> String {
        self.await_written(|terminal| Some(terminal.screen()).filter(|text| is_sought(text)))
    }

    /// Waits until the cursor has gone up so many times, to write over what was there.
    #[track_caller]
    pub(crate) fn await_renewals(&mut self, count: usize) {
        self.await_written(|terminal| {
            let text = String::from_utf8_lossy(&terminal.written);
            let ups = text.split("\x1b[").filter(|sequence| {
                let rest = sequence.trim_start_matches(|char: char| char.is_ascii_digit());
                rest.len() < sequence.len() && rest.starts_with('A')
            });
            (ups.count() >= count).then_some(())
        });
    }

    #[track_caller]
    fn await_written<T>(&mut self, found: impl Fn(&Self) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let left = WATCHDOG.saturating_sub(started.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.written.extend(bytes),
                Err(error) => panic!("{error}; the terminal shows:\n{}", self.screen()),
            }
        }
    }

    fn screen(&self) -> String {
        Screen::showing(&self.written, usize::from(self.columns))
    }
}

fn read_chunks(mut controller: File) -> Receiver<Vec<u8>> {
    let (sender, output) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        // An error, when no process has the other side any more, is the end.
        while let Ok(count @ 1..) = controller.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    output
}
