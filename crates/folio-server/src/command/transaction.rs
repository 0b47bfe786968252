//! `MULTI` … `EXEC`: requests that are answered together.
//!
//! Tables do not change, so that any requests see one state of them. These commands
//! are here because client libraries wrap their pipelines in them.

use std::ops::Range;

use folio::ReadAt;

use super::catalog::{self, Id};
use super::session::Session;
use super::{Dispatcher, Failure, Next, Outcome, ok};
use crate::counters::Counter;
use crate::resp::{Reply, Request};

/// The requests of a connection since `MULTI`.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    requests: Vec<Queued>,
    held_bytes: usize,
    /// Whether one of them was refused, so that none will be answered.
    aborted: bool,
}

/// A request, copied.
#[derive(Debug)]
struct Queued {
    bytes: Vec<u8>,
    arguments: Vec<Range<usize>>,
}

impl Transaction {
    /// How much memory it takes, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn add(&mut self, request: Request<'_>) {
        let mut queued = Queued {
            bytes: Vec::new(),
            arguments: Vec::with_capacity(request.len()),
        };
        for argument in request.from(0) {
            let start = queued.bytes.len();
            queued.bytes.extend_from_slice(argument);
            queued.arguments.push(start..queued.bytes.len());
        }
        self.held_bytes += queued.held_bytes();
        self.requests.push(queued);
    }
}

impl Queued {
    fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.bytes.capacity()
            + self.arguments.capacity() * size_of::<Range<usize>>()
    }
}

impl<B: ReadAt> Dispatcher<B> {
    pub(super) fn multi(session: &mut Session, reply: &mut Reply<'_>) -> Next {
        session.transaction = Some(Box::default());
        ok(reply)
    }

    pub(super) fn discard(session: &mut Session, reply: &mut Reply<'_>) -> Outcome {
        match session.transaction.take() {
            Some(_) => Ok(ok(reply)),
            None => Err(Failure::new("ERR DISCARD without MULTI")),
        }
    }

    /// Keeps a request for `EXEC`; those that are about the transaction itself, or
    /// end it, are answered.
    pub(super) fn queue(
        &mut self,
        session: &mut Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let outcome = match catalog::find(request.argument(0)) {
            None => self.refuse(request, reply),
            Some(command) if !command.takes(request.len()) => Err(Failure::arguments(command.name)),
            Some(command) => match command.id {
                Id::Exec => return self.exec(session, reply),
                Id::Discard | Id::Quit | Id::Reset => return self.run(session, request, reply),
                Id::Multi => return Err(Failure::new("ERR MULTI calls can not be nested")),
                Id::Watch => return Err(Failure::new("ERR WATCH inside MULTI is not allowed")),
                _ => self.keep(session, request, reply),
            },
        };
        if let (Err(_), Some(transaction)) = (&outcome, &mut session.transaction) {
            transaction.aborted = true;
        }
        outcome
    }

    fn keep(&self, session: &mut Session, request: Request<'_>, reply: &mut Reply<'_>) -> Outcome {
        if let Some(transaction) = &mut session.transaction {
            transaction.add(request);
            if transaction.held_bytes > self.limits.request_bytes {
                **transaction = Transaction::default();
                return Err(Failure::new("ERR the transaction is too long"));
            }
        }
        reply.simple("QUEUED");
        Ok(Next::Continue)
    }

    /// Answers the requests that were queued, each as it would be by itself.
    pub(super) fn exec(&mut self, session: &mut Session, reply: &mut Reply<'_>) -> Outcome {
        let Some(transaction) = session.transaction.take() else {
            return Err(Failure::new("ERR EXEC without MULTI"));
        };
        if transaction.aborted {
            return Err(Failure::new(
                "EXECABORT Transaction discarded because of previous errors.",
            ));
        }
        reply.array(transaction.requests.len());
        for queued in &transaction.requests {
            let request = Request::new(&queued.bytes, &queued.arguments);
            self.count(Counter::Requests);
            let mark = reply.len();
            if let Err(failure) = self.run(session, request, reply) {
                reply.roll_back_to(mark);
                self.fail(session, &failure, reply);
            }
        }
        Ok(Next::Continue)
    }
}
