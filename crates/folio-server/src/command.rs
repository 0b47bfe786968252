//! Commands: what a request means, and what is answered.

mod catalog;
mod connection;
mod info;
mod introspection;
mod pattern;
mod read;
mod scan;
mod session;
mod transaction;

use std::borrow::Cow;
use std::error::Error as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use folio::ReadAt;
use folio_table::Table;

pub(crate) use session::{Peer, Session};

use crate::Database;
use crate::Limits;
use crate::counters::{Counter, Counters};
use crate::log::{Log, RateLimit};
use crate::resp::{Reply, Request};
use catalog::Id;

/// What is known of a worker and its server.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Which worker this is, from 0.
    pub(crate) worker: usize,
    /// How many there are.
    pub(crate) workers: usize,
    /// When the server started.
    pub(crate) started: Instant,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) unix: Option<PathBuf>,
}

/// What becomes of the connection after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes on.
    Continue,
    /// It is closed when the reply is sent.
    Close,
}

/// Why a command has an error for its reply.
#[derive(Debug)]
enum Failure {
    /// The table could not be read.
    Table(Box<folio_table::Error>),
    /// The request asks for what is not to be had; the whole error, kind first.
    Request(Cow<'static, str>),
}

impl From<folio_table::Error> for Failure {
    #[cold]
    fn from(error: folio_table::Error) -> Self {
        Self::Table(Box::new(error))
    }
}

impl Failure {
    fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Request(text.into())
    }

    /// Redis' words for a command, or `command|subcommand`, with too few or too
    /// many arguments.
    fn arguments(command: &str) -> Self {
        Self::new(format!(
            "ERR wrong number of arguments for '{command}' command"
        ))
    }
}

type Outcome<T = Next> = Result<T, Failure>;

/// Answers the requests of all connections of a worker.
///
/// It is generic over where the tables' bytes are, so that tests need no files.
#[derive(Debug)]
pub(crate) struct Dispatcher<B> {
    tables: Vec<Database<B>>,
    facts: Facts,
    limits: Limits,
    counters: Rc<Counters>,
    log: Rc<Log>,
    fault_logs: Vec<RateLimit>,
    follow_log: RateLimit,
    now: Instant,
}

impl<B: ReadAt> Dispatcher<B> {
    pub(crate) fn new(
        tables: impl IntoIterator<Item = impl Into<Database<B>>>,
        facts: Facts,
        limits: Limits,
        counters: Rc<Counters>,
        log: Rc<Log>,
    ) -> Self {
        let tables: Vec<_> = tables.into_iter().map(Into::into).collect();
        Self {
            follow_log: RateLimit::default(),
            fault_logs: tables.iter().map(|_| RateLimit::default()).collect(),
            now: facts.started,
            tables,
            facts,
            limits,
            counters,
            log,
        }
    }

    /// Sets the time that commands go by; once for many requests is enough.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    /// Goes on to the current generations of stores: between requests, so that each is
    /// answered from one table.
    #[inline]
    pub(crate) fn refresh(&mut self) {
        self.follow(Database::refresh);
    }

    /// The same where the store's files have to be looked at in any case.
    pub(crate) fn recheck(&mut self) {
        self.follow(Database::recheck);
    }

    #[inline]
    fn follow(&mut self, go_on: impl Fn(&mut Database<B>) -> folio_table::Result<bool>) {
        let mut failed = None;
        for table in &mut self.tables {
            if let Err(error) = go_on(table) {
                failed = Some(error);
            }
        }
        if let Some(error) = failed {
            self.stay(&error);
        }
    }

    /// A generation that cannot be had is no reason not to serve the one before.
    #[cold]
    fn stay(&mut self, error: &folio_table::Error) {
        if self.follow_log.admit(self.now).is_some() {
            let reason = chain(error);
            self.log
                .line(format_args!("serving on what it was: {reason}"));
        }
    }

    /// Answers one request: appends exactly one reply to `out`.
    ///
    /// A request without arguments asks for nothing and gets nothing.
    pub(crate) fn execute(
        &mut self,
        session: &mut Session,
        request: Request<'_>,
        out: &mut Vec<u8>,
    ) -> Next {
        if request.len() == 0 {
            return Next::Continue;
        }
        self.count(Counter::Requests);
        let mut reply = Reply::new(out, session.protocol);
        let outcome = if session.transaction.is_none() {
            self.run(session, request, &mut reply)
        } else {
            self.queue(session, request, &mut reply)
        };
        match outcome {
            Ok(next) => next,
            Err(failure) => {
                reply.roll_back_to(0);
                self.fail(session, &failure, &mut reply);
                Next::Continue
            }
        }
    }

    /// Counts a stream that was no request.
    pub(crate) fn count_protocol_error(&self) {
        self.count(Counter::Errors);
    }

    fn run(
        &mut self,
        session: &mut Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let name = request.argument(0);
        // Most requests are this one.
        if name.eq_ignore_ascii_case(b"get") && request.len() == 2 {
            return self.get(session, request, reply);
        }
        let Some(command) = catalog::find(name) else {
            return self.refuse(request, reply);
        };
        if !command.takes(request.len()) {
            return Err(Failure::arguments(command.name));
        }
        match command.id {
            Id::Auth => connection::auth(request, reply),
            Id::Client => self.client(session, request, reply),
            Id::Command => introspection::command(request, reply),
            Id::Config => self.config(request, reply),
            Id::Discard => Self::discard(session, reply),
            Id::DbSize => self.db_size(session, reply),
            Id::Echo => Ok(connection::echo(request, reply)),
            Id::Exec => self.exec(session, reply),
            Id::Exists => self.exists(session, request, reply),
            Id::Get => self.get(session, request, reply),
            Id::GetRange => self.get_range(session, request, reply),
            Id::Hello => connection::hello(session, request, reply),
            Id::Info => Ok(self.info(request, reply)),
            Id::Mget => self.mget(session, request, reply),
            Id::Multi => Ok(Self::multi(session, reply)),
            Id::Ok | Id::Watch => Ok(ok(reply)),
            Id::Ping => connection::ping(request, reply),
            Id::Quit => {
                ok(reply);
                Ok(Next::Close)
            }
            Id::Reset => Ok(connection::reset(session, reply)),
            Id::Scan => self.scan(session, request, reply),
            Id::Select => self.select(session, request, reply),
            Id::StrLen => self.str_len(session, request, reply),
            Id::Time => Ok(introspection::time(reply)),
            Id::TimeToLive => self.time_to_live(session, request, reply),
            Id::Type => self.value_type(session, request, reply),
        }
    }

    /// Answers a command that this server does not have.
    #[cold]
    fn refuse(&self, request: Request<'_>, reply: &mut Reply<'_>) -> Outcome {
        let name = request.argument(0);
        if catalog::writes(name) {
            return Err(Failure::new(format!(
                "READONLY this server serves read-only tables; '{}' would write",
                String::from_utf8_lossy(name).to_ascii_lowercase()
            )));
        }
        // A web page can make a browser send lines of its choice here, within an
        // HTTP request. These two words come first in every one of them.
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            self.count(Counter::Errors);
            reply.error("ERR Protocol error: this is no HTTP server");
            return Ok(Next::Close);
        }
        let mut text = format!(
            "ERR unknown command '{}', with args beginning with: ",
            excerpt(name)
        );
        for argument in request.from(1) {
            if text.len() > 2 * EXCERPT_BYTES {
                break;
            }
            text.push('\'');
            text.push_str(&excerpt(argument));
            text.push_str("' ");
        }
        Err(Failure::Request(text.into()))
    }

    #[cold]
    fn fail(&mut self, session: &Session, failure: &Failure, reply: &mut Reply<'_>) {
        self.count(Counter::Errors);
        match failure {
            Failure::Request(text) => reply.error(text),
            Failure::Table(error) => {
                self.count(Counter::Faults);
                let reason = chain(error);
                reply.error(&format!("ERR table {}: {reason}", session.database));
                let limit = self.fault_logs.get_mut(session.database);
                if let Some(suppressed) = limit.and_then(|limit| limit.admit(self.now)) {
                    if suppressed == 0 {
                        self.log.line(reason);
                    } else {
                        self.log
                            .line(format_args!("{reason} (and {suppressed} more)"));
                    }
                }
            }
        }
    }

    fn count(&self, counter: Counter) {
        self.counters.add(self.facts.worker, counter, 1);
    }

    /// The table that the connection has selected.
    fn table(&self, session: &Session) -> Outcome<&Table<B>> {
        self.tables
            .get(session.database)
            .map(Database::table)
            .ok_or(Failure::Request(Cow::Borrowed(
                "ERR DB index is out of range",
            )))
    }
}

/// The error and its causes in one line.
fn chain(error: &folio_table::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// How much of an argument an error repeats.
const EXCERPT_BYTES: usize = 128;

/// The beginning of what a client sent, to be repeated to it.
fn excerpt(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.get(..EXCERPT_BYTES).unwrap_or(bytes))
}

fn ok(reply: &mut Reply<'_>) -> Next {
    reply.simple("OK");
    Next::Continue
}

/// A number that a client sent, as strictly as Redis takes it.
fn integer(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits == "0" && digits.len() == text.len()
        || digits.starts_with(|first: char| ('1'..='9').contains(&first));
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
