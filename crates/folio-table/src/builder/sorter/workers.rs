//! Threads that sort chunks.

use std::collections::TryReserveError;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::super::OnDuplicate;
use super::super::chunk::{Chunk, Sorted};

/// Threads that sort chunks, in any order.
#[derive(Debug)]
pub(super) struct Workers {
    /// Takes one chunk more than there are threads to sort it.
    waiting: Option<SyncSender<Chunk>>,
    done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    /// How many chunks are waiting or being sorted.
    outstanding: usize,
}

/// A chunk that was sorted.
#[derive(Debug)]
pub(super) struct Done {
    /// Empty; its memory is good for another one.
    pub(super) chunk: Chunk,
    pub(super) sorted: Result<Sorted, TryReserveError>,
}

/// More would wait for the thread that adds records.
const MAX_THREADS: usize = 2;

impl Workers {
    /// `None` where no thread is to be had.
    pub(super) fn start(on_duplicate: OnDuplicate) -> Option<Self> {
        // The thread that adds records has work of its own.
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let count = processors.saturating_sub(1).clamp(1, MAX_THREADS);
        let (waiting, chunks) = sync_channel(1);
        let (sender, done) = channel();
        let chunks = Arc::new(Mutex::new(chunks));
        let start = |_| {
            let (chunks, sender) = (Arc::clone(&chunks), sender.clone());
            let thread = thread::Builder::new().name("folio-sort".to_owned());
            thread.spawn(move || work(&chunks, &sender, on_duplicate))
        };
        let threads: Vec<_> = (0..count).map_while(|number| start(number).ok()).collect();
        (!threads.is_empty()).then_some(Self {
            waiting: Some(waiting),
            done,
            threads,
            outstanding: 0,
        })
    }

    /// Has a chunk sorted. Waits where there are enough of them waiting.
    pub(super) fn give(&mut self, chunk: Chunk) {
        let sent = self.waiting.as_ref().map(|waiting| waiting.send(chunk));
        if !matches!(sent, Some(Ok(()))) {
            self.end();
        }
        self.outstanding += 1;
    }

    /// A chunk that was sorted. Waits for one where so many are outstanding that every thread has work;
    /// where `all` are wanted, as long as there are any.
    pub(super) fn take(&mut self, all: bool) -> Option<Done> {
        let enough = if all { 0 } else { self.threads.len() };
        let done = if self.outstanding > enough {
            let done = self.done.recv().ok();
            if done.is_none() {
                self.end();
            }
            done
        } else {
            self.done.try_recv().ok()
        };
        self.outstanding -= usize::from(done.is_some());
        done
    }

    /// Waits for the end of all threads, and passes on a panic of theirs.
    fn end(&mut self) {
        self.waiting = None;
        for thread in self.threads.drain(..) {
            match thread.join() {
                Err(panic) if !thread::panicking() => std::panic::resume_unwind(panic),
                _ => {}
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end();
    }
}

fn work(chunks: &Mutex<Receiver<Chunk>>, done: &Sender<Done>, on_duplicate: OnDuplicate) {
    let mut sort_keys = Vec::new();
    loop {
        let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut chunk) = next else {
            return;
        };
        let sorted = chunk.sort(&mut sort_keys, on_duplicate);
        chunk.clear();
        if done.send(Done { chunk, sorted }).is_err() {
            return;
        }
    }
}
