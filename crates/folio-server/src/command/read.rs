//! Commands that read tables.

use folio::ReadAt;
use folio_table::ValueRange;

use super::{Dispatcher, Failure, Next, Outcome, Session, integer};
use crate::counters::Counter;
use crate::resp::{Reply, Request};

impl<B: ReadAt> Dispatcher<B> {
    pub(super) fn get(
        &self,
        session: &Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        self.value(session, request.argument(1), reply)?;
        Ok(Next::Continue)
    }

    pub(super) fn mget(
        &self,
        session: &Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let keys = request.from(1);
        reply.array(keys.len());
        for key in keys {
            self.value(session, key, reply)?;
        }
        Ok(Next::Continue)
    }

    pub(super) fn exists(
        &self,
        session: &Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let mut count: usize = 0;
        for key in request.from(1) {
            count += usize::from(self.locate(session, key)?.is_some());
        }
        reply.integer(count);
        Ok(Next::Continue)
    }

    pub(super) fn str_len(
        &self,
        session: &Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let value = self.locate(session, request.argument(1))?;
        reply.integer(value.map_or(0, |value| value.len));
        Ok(Next::Continue)
    }

    pub(super) fn get_range(
        &self,
        session: &Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let bound = |index| {
            integer(request.argument(index))
                .ok_or_else(|| Failure::new("ERR value is not an integer or out of range"))
        };
        let (first, last) = (bound(2)?, bound(3)?);
        match self.locate(session, request.argument(1))? {
            None => reply.bulk(""),
            Some(value) => self.copy(session, part(value, first, last), reply)?,
        }
        Ok(Next::Continue)
    }

    pub(super) fn value_type(
        &self,
        session: &Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let value = self.locate(session, request.argument(1))?;
        reply.simple(if value.is_some() { "string" } else { "none" });
        Ok(Next::Continue)
    }

    /// Nothing expires: -1 for a key that there is, -2 for one that there is not.
    pub(super) fn time_to_live(
        &self,
        session: &Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let value = self.locate(session, request.argument(1))?;
        reply.integer(if value.is_some() { -1 } else { -2 });
        Ok(Next::Continue)
    }

    pub(super) fn db_size(&self, session: &Session, reply: &mut Reply<'_>) -> Outcome {
        reply.integer(self.table(session)?.count());
        Ok(Next::Continue)
    }

    pub(super) fn select(
        &self,
        session: &mut Session,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let number = integer(request.argument(1))
            .ok_or_else(|| Failure::new("ERR value is not an integer or out of range"))?;
        session.database = usize::try_from(number)
            .ok()
            .filter(|&database| database < self.tables.len())
            .ok_or_else(|| Failure::new("ERR DB index is out of range"))?;
        Ok(super::ok(reply))
    }

    /// Replies with the value of a key, or with null.
    fn value(&self, session: &Session, key: &[u8], reply: &mut Reply<'_>) -> Outcome<()> {
        match self.locate(session, key)? {
            None => {
                reply.null();
                Ok(())
            }
            Some(value) => self.copy(session, value, reply),
        }
    }

    /// Replies with a value, or a part of one.
    fn copy(&self, session: &Session, value: ValueRange, reply: &mut Reply<'_>) -> Outcome<()> {
        self.check_room(reply, value.len, "GETRANGE gives a part")?;
        reply.start_bulk(value.len);
        self.table(session)?.read_value(value, reply.out())?;
        reply.end_bulk();
        Ok(())
    }

    /// Fails if so many bytes more are too many for a reply, and says what can be done.
    pub(super) fn check_room(&self, reply: &Reply<'_>, more: u64, hint: &str) -> Outcome<()> {
        let room = self.limits.reply_bytes.saturating_sub(reply.len());
        if more > room as u64 {
            return Err(Failure::new(format!(
                "ERR the reply is longer than {} bytes, which is the limit; {hint}",
                self.limits.reply_bytes
            )));
        }
        Ok(())
    }

    /// Where the value of a key is, counted as a hit or a miss.
    fn locate(&self, session: &Session, key: &[u8]) -> Outcome<Option<ValueRange>> {
        let found = self.table(session)?.locate(key)?;
        self.count(if found.is_some() {
            Counter::Hits
        } else {
            Counter::Misses
        });
        Ok(found)
    }
}

/// The bytes `first` to `last`, both included, of a value. Negative numbers count
/// from its end, and what is past an end is cut off.
fn part(value: ValueRange, first: i64, last: i64) -> ValueRange {
    let from_start = |index: i64| {
        if index < 0 {
            value.len.saturating_sub(index.unsigned_abs())
        } else {
            index.unsigned_abs()
        }
    };
    // Past the start, Redis takes the first byte even for a last one, unless both are
    // out of order to begin with.
    let out_of_order = first < 0 && last < 0 && first > last;
    let start = from_start(first);
    let end = from_start(last).saturating_add(1).min(value.len);
    let len = if out_of_order {
        0
    } else {
        end.saturating_sub(start)
    };
    ValueRange {
        // A start past the end has no bytes and stays within the file.
        offset_bytes: value.offset_bytes + start.min(value.len),
        len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_redis() {
        // Each row was answered by a Redis server, version 7.0, for the value "hello".
        for (first, last, expected) in [
            (0, 4, "hello"),
            (0, -1, "hello"),
            (1, 3, "ell"),
            (-3, -2, "ll"),
            (-100, 1, "he"),
            (3, 100, "lo"),
            (4, 2, ""),
            (-1, -3, ""),
            (5, 9, ""),
            (-100, -50, "h"),
            (-50, -100, ""),
            (0, -100, "h"),
            (1, -100, ""),
            (i64::MIN, i64::MAX, "hello"),
            (i64::MAX, i64::MIN, ""),
        ] {
            let value = ValueRange {
                offset_bytes: 1000,
                len: 5,
            };
            let found = part(value, first, last);
            let start = usize::try_from(found.offset_bytes - 1000).unwrap();
            let len = usize::try_from(found.len).unwrap();
            assert_eq!(&"hello"[start..start + len], expected, "{first} {last}");
        }
    }
}
