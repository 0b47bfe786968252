//! `SCAN`: the keys of a table, some at a time.
//!
//! The cursor that a client is given is a [`Cursor`] as a number: the rank of the next record, and
//! bits that tell this table from others. So it needs no memory of the server's, is good on any
//! connection to any worker, and a walk through all keys is a seek and a short scan each time.
//!
//! A table that takes another's place does not have its ranks. A connection therefore remembers the
//! key behind the number that it was given last, and goes on from there. A number of a table that is gone,
//! from another connection, begins again: keys may come twice, as Redis allows,
//! but each key that was there all the time comes.

use folio::ReadAt;
use folio_table::{Cursor, Scan, Table};

use super::pattern::Pattern;
use super::{Dispatcher, Failure, Next, Outcome, Session, integer};
use crate::resp::{Reply, Request};

/// Where the last `SCAN` of a connection came to.
#[derive(Debug)]
pub(super) struct Place {
    /// The table's number.
    database: usize,
    /// What the client was given for it.
    number: u64,
    cursor: Cursor,
}

/// What a request asks for.
struct Options<'r> {
    cursor: u64,
    pattern: Option<Pattern<'r>>,
    /// How many keys to look at.
    count: u64,
    /// Whether the type that was asked for is one that values have.
    is_string: bool,
}

impl<B: ReadAt> Dispatcher<B> {
    pub(super) fn scan(
        &self,
        session: &mut Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let options = parse(request)?;
        let table = self.table(session)?;
        let mut scan = start(table, &options)?;
        resume(&mut scan, options.cursor, session)?;
        let mut keys = Vec::new();
        let mut count = 0;
        let mut found = Reply::new(&mut keys, reply.protocol);
        let room = self.limits.reply_bytes.saturating_sub(reply.len());
        let most_bytes = LONG_REPLY_BYTES.min(room / 2);
        let mut looked_at = 0;
        while looked_at < options.count && found.len() < most_bytes {
            let Some((key, _)) = scan.next_key()? else {
                break;
            };
            let pattern = options.pattern.as_ref();
            if pattern.is_none_or(|pattern| pattern.matches(key)) {
                found.bulk(key);
                count += 1;
            }
            looked_at += 1;
        }
        let number = save(&mut scan, session)?;
        reply.array(2);
        reply.bulk(number.to_string());
        reply.array(count);
        self.check_room(reply, keys.len() as u64, "a lower COUNT gives less")?;
        reply.out().extend_from_slice(&keys);
        Ok(Next::Continue)
    }
}

/// A reply that has so many bytes gets no further keys, whatever the count asked for: clients go on
/// with the cursor.
const LONG_REPLY_BYTES: usize = 1 << 20;

/// So many keys are looked at for one request at most, so that other clients get their turn.
const MOST_LOOKED_AT: u64 = 1 << 16;

/// What Redis takes when no count is given.
const DEFAULT_COUNT: u64 = 10;

fn parse(request: Request<'_>) -> Outcome<Options<'_>> {
    let mut options = Options {
        cursor: cursor(request.argument(1))?,
        pattern: None,
        count: DEFAULT_COUNT,
        is_string: true,
    };
    let mut arguments = request.from(2);
    while let Some(name) = arguments.next() {
        let Some(value) = arguments.next() else {
            return Err(syntax_error());
        };
        if name.eq_ignore_ascii_case(b"match") {
            options.pattern = Some(Pattern::new(value));
        } else if name.eq_ignore_ascii_case(b"count") {
            let count = integer(value)
                .ok_or_else(|| Failure::new("ERR value is not an integer or out of range"))?;
            let count = u64::try_from(count).unwrap_or(0).min(MOST_LOOKED_AT);
            if count == 0 {
                return Err(syntax_error());
            }
            options.count = count;
        } else if name.eq_ignore_ascii_case(b"type") {
            options.is_string = value.eq_ignore_ascii_case(b"string");
        } else {
            return Err(syntax_error());
        }
    }
    Ok(options)
}

fn cursor(argument: &[u8]) -> Outcome<u64> {
    let text = std::str::from_utf8(argument).ok();
    let digits = text.filter(|text| !text.starts_with('+'));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| Failure::new("ERR invalid cursor"))
}

fn syntax_error() -> Failure {
    Failure::new("ERR syntax error")
}

/// All keys that a request may ask for, whatever its cursor.
fn start<'t, B: ReadAt>(
    table: &'t Table<B>,
    options: &Options<'_>,
) -> folio_table::Result<Scan<'t, B>> {
    match &options.pattern {
        // No value is of another type.
        _ if !options.is_string => table.scan(""..""),
        Some(pattern) => pattern.candidates(table),
        None => table.scan(..),
    }
}

/// Goes on where the client says.
fn resume<B: ReadAt>(scan: &mut Scan<'_, B>, number: u64, session: &Session) -> Outcome<()> {
    if scan.resume_number(number)? {
        return Ok(());
    }
    if let Some(place) = &session.scanned {
        if (place.number, place.database) == (number, session.database) {
            scan.resume(&place.cursor)?;
        }
    }
    Ok(())
}

/// The number to go on with, which the connection remembers; 0 if no key is left.
fn save<B: ReadAt>(scan: &mut Scan<'_, B>, session: &mut Session) -> Outcome<u64> {
    session.scanned = None;
    if scan.remaining() == 0 {
        return Ok(0);
    }
    let cursor = scan.cursor()?;
    let number = cursor.number();
    session.scanned = Some(Box::new(Place {
        database: session.database,
        number,
        cursor,
    }));
    Ok(number)
}

impl Place {
    /// How much memory it takes, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.cursor.key().len()
    }
}
