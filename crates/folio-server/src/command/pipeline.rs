//! Requests that arrived together, and are looked up together.

use folio::ReadAt;

use super::read::GROUP;
use super::{Dispatcher, Failure, Session};
use crate::counters::Counter;
use crate::resp::{Question, Read, Reply};

/// Why a group was not answered to its end.
enum Stop {
    /// Enough replies wait.
    Full,
    /// This request has an error for its reply.
    Failed(Failure),
}

impl From<folio_table::Error> for Stop {
    #[cold]
    fn from(error: folio_table::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl<B: ReadAt> Dispatcher<B> {
    /// Answers the reads of single keys that `input` begins with, some of them at a time, until
    /// enough replies wait; says how many bytes of `input` these requests were.
    ///
    /// Zero if `input` begins with something else, which [`execute`](Self::execute) is for. The replies
    /// are those that [`execute`](Self::execute) gives to one request after the other.
    pub(crate) fn execute_reads(
        &mut self,
        session: &Session,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> usize {
        if session.transaction.is_some() {
            return 0;
        }
        let nothing = Read {
            question: Question::Value,
            key: &[],
            len: 0,
        };
        let mut reads = [nothing; GROUP];
        let (mut count, mut len) = (0, 0);
        for place in &mut reads {
            let rest = input.get(len..).unwrap_or_default();
            let Some(read) = Read::recognize(rest, &self.limits) else {
                break;
            };
            *place = read;
            count += 1;
            len += read.len;
        }
        let reads = reads.get(..count).unwrap_or_default();
        let answered = self.answer_reads(session, reads, out);
        let lens = reads.iter().take(answered).map(|read| read.len);
        lens.sum()
    }

    /// Answers reads until enough replies wait; says how many.
    fn answer_reads(&mut self, session: &Session, reads: &[Read<'_>], out: &mut Vec<u8>) -> usize {
        let mut answered = 0;
        while let Some(rest @ [_, ..]) = reads.get(answered..) {
            let (count, stop) = self.try_reads(session, rest, out);
            answered += count;
            match stop {
                None => {}
                Some(Stop::Full) => break,
                Some(Stop::Failed(failure)) => {
                    self.count(Counter::Requests);
                    self.fail(session, &failure, &mut Reply::new(out, session.protocol));
                    answered += 1;
                }
            }
        }
        answered
    }

    /// Answers reads up to the first that fails, of which `out` has nothing then; says
    /// how many.
    fn try_reads(
        &self,
        session: &Session,
        reads: &[Read<'_>],
        out: &mut Vec<u8>,
    ) -> (usize, Option<Stop>) {
        let mut answered = 0;
        let result = self.table(session).map_err(Stop::Failed).and_then(|table| {
            table.find_many(reads, |index, value| {
                if out.len() >= self.limits.waiting_reply_bytes {
                    return Err(Stop::Full);
                }
                self.count_found(value.is_some());
                let mut reply = Reply::new(out, session.protocol);
                match reads.get(index).map(|read| read.question) {
                    Some(Question::Len) => {
                        reply.integer(value.map_or(0, |value| value.len()));
                    }
                    Some(Question::Presence) => reply.integer(u8::from(value.is_some())),
                    Some(Question::Value) | None => {
                        if let Err(failure) = self.value(value, &mut reply) {
                            reply.roll_back_to(0);
                            return Err(Stop::Failed(failure));
                        }
                    }
                }
                self.count(Counter::Requests);
                answered += 1;
                Ok(())
            })
        });
        (answered, result.err())
    }
}
