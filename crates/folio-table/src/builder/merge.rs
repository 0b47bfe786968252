//! Many runs as one.

use std::cell::Cell;
use std::io;

use super::OnDuplicate;
use super::item::{Item, Origin, common_len};
use super::run::{Cursor, Run};
use crate::Error;

/// Items of several runs in the order of their keys; those of the same key, in the order in which they are
/// preferred.
///
/// A tournament (Knuth, volume 3, 5.4.1, "replacement selection" by a tree of losers): each next
/// item takes one comparison for each doubling of the number of runs.
#[derive(Debug)]
pub(super) struct Merge {
    cursors: Vec<Cursor>,
    /// The loser of each match; the first one is of no match.
    losers: Vec<Player>,
    winner: Player,
    /// What all keys have in common at their beginnings.
    common: Vec<u8>,
    on_duplicate: OnDuplicate,
    started: bool,
    /// Whether an item may follow that has the key of the current one, or there was one.
    may_repeat: Cell<bool>,
}

/// A run with its current item.
#[derive(Clone, Copy, Debug, Default)]
struct Player {
    prefix: u64,
    cursor: usize,
}

/// An item with the bytes that it is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Merged<'a> {
    pub(super) item: &'a Item,
    pub(super) bytes: &'a [u8],
}

impl Merge {
    pub(super) fn new(
        runs: Vec<Run>,
        read_len: usize,
        on_duplicate: OnDuplicate,
    ) -> io::Result<Self> {
        let common = common_beginning(&runs);
        let may_repeat = Cell::new(runs.iter().any(Run::repeats));
        let cursors = runs.into_iter().map(|run| Cursor::new(run, read_len));
        let cursors = cursors.collect::<io::Result<Vec<_>>>()?;
        let mut merge = Self {
            losers: vec![Player::default(); cursors.len()],
            winner: Player::default(),
            cursors,
            common,
            on_duplicate,
            started: false,
            may_repeat,
        };
        merge.play_all();
        Ok(merge)
    }

    /// What all keys have in common at their beginnings.
    pub(super) fn common(&self) -> &[u8] {
        &self.common
    }

    /// Goes on to the next item; at first, to the first.
    #[inline]
    pub(super) fn advance(&mut self) -> io::Result<()> {
        if self.started {
            self.replace_winner()?;
        }
        self.started = true;
        Ok(())
    }

    /// The item that it is at; `None` after the last.
    #[inline]
    pub(super) fn current(&self) -> Option<Merged<'_>> {
        let cursor = self.cursors.get(self.winner.cursor)?;
        let item = cursor.item()?;
        let bytes = cursor.bytes().get(..item.len)?;
        Some(Merged { item, bytes })
    }

    /// Whether an item may follow that has the key of the current one, or there was one. The next
    /// item has lost to the current one in a match of their own, if it is not of the same run: so
    /// it was seen if they have the same key.
    #[inline]
    pub(super) fn may_repeat(&self) -> bool {
        self.may_repeat.get()
    }

    /// Plays all matches, from the leaves of the tree up: the matches' numbers begin with 1, which is the last,
    /// and the winners of 2n and 2n + 1 meet in n.
    fn play_all(&mut self) {
        let count = self.cursors.len();
        let skip = self.common.len();
        let players = self.cursors.iter().enumerate();
        let players = players.map(|(number, cursor)| Player {
            prefix: cursor.prefix(skip),
            cursor: number,
        });
        let mut winners: Vec<_> = std::iter::repeat_n(Player::default(), count)
            .chain(players)
            .collect();
        for number in (1..count).rev() {
            let (Some(&a), Some(&b)) = (winners.get(2 * number), winners.get(2 * number + 1))
            else {
                continue;
            };
            let (winner, loser) = if self.is_before(a, b) { (a, b) } else { (b, a) };
            if let (Some(to_win), Some(to_lose)) =
                (winners.get_mut(number), self.losers.get_mut(number))
            {
                *to_win = winner;
                *to_lose = loser;
            }
        }
        self.winner = winners.get(1).copied().unwrap_or_default();
    }

    #[inline]
    fn replace_winner(&mut self) -> io::Result<()> {
        let number = self.winner.cursor;
        let Some(cursor) = self.cursors.get_mut(number) else {
            return Ok(());
        };
        cursor.advance()?;
        let mut player = Player {
            prefix: cursor.prefix(self.common.len()),
            cursor: number,
        };
        let mut at = (number + self.cursors.len()) >> 1;
        while at > 0 {
            let loser = self.losers.get(at).copied().unwrap_or_default();
            // Both written whatever the outcome, which is as good as random: it shall not be a branch.
            let loser_wins = self.is_before(loser, player);
            let (winner, still_loser) = if loser_wins {
                (loser, player)
            } else {
                (player, loser)
            };
            if let Some(place) = self.losers.get_mut(at) {
                *place = still_loser;
            }
            player = winner;
            at >>= 1;
        }
        self.winner = player;
        Ok(())
    }

    #[inline]
    fn is_before(&self, a: Player, b: Player) -> bool {
        if a.prefix == b.prefix {
            return self.is_before_in_full(a, b);
        }
        a.prefix < b.prefix
    }

    /// Where the prefixes do not tell.
    #[cold]
    fn is_before_in_full(&self, a: Player, b: Player) -> bool {
        let current = |player: Player| {
            let cursor = self.cursors.get(player.cursor)?;
            Some((cursor.key(), cursor.item()?.origin.number))
        };
        match (current(a), current(b)) {
            (Some((a_key, a_number)), Some((b_key, b_number))) => {
                if a_key == b_key {
                    self.may_repeat.set(true);
                }
                let by_preference = match self.on_duplicate {
                    OnDuplicate::Last => b_number.cmp(&a_number),
                    OnDuplicate::Error | OnDuplicate::First => a_number.cmp(&b_number),
                };
                a_key.cmp(b_key).then(by_preference).is_lt()
            }
            // A run that has ended comes after all others.
            (there, _) => there.is_some(),
        }
    }
}

/// What to do with items whose key was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    Keep,
    Drop,
    /// Make them an error, which names the one added first.
    Refuse,
}

/// One item for each key, of several runs.
#[derive(Debug)]
pub(super) struct Distinct {
    merge: Merge,
    repeats: Repeats,
    /// The key of the last item and where it came from, if the next one may have the same.
    last_key: Vec<u8>,
    last_origin: Origin,
    /// Of all items whose key was there before, the one added first, and what to say of it.
    repeat: Option<(u64, Error)>,
}

impl Distinct {
    pub(super) fn new(merge: Merge, repeats: Repeats) -> Self {
        Self {
            merge,
            repeats,
            // No key is empty.
            last_key: Vec::new(),
            last_origin: Origin::default(),
            repeat: None,
        }
    }

    /// What all keys have in common at their beginnings.
    pub(super) fn common(&self) -> &[u8] {
        self.merge.common()
    }

    /// Whether items of the same key may have been given.
    pub(super) fn has_repeats(&self) -> bool {
        self.repeats == Repeats::Keep && self.merge.may_repeat()
    }

    /// Goes on to the next item of another key; at first, to the first.
    #[inline]
    pub(super) fn advance(&mut self) -> io::Result<()> {
        while self.advance_by_one()? {}
        Ok(())
    }

    /// The item that it is at; `None` after the last. Where repeats are refused, and there is one, the last comes
    /// at once.
    #[inline]
    pub(super) fn current(&self) -> Option<Merged<'_>> {
        self.merge.current()
    }

    /// Of all items whose key was there before, names the one added first.
    #[inline]
    pub(super) fn refused(&mut self) -> Option<Error> {
        self.repeat.take().map(|(_, error)| error)
    }

    /// Says whether the item is to be passed over.
    #[inline]
    fn advance_by_one(&mut self) -> io::Result<bool> {
        self.merge.advance()?;
        if !self.merge.may_repeat() {
            return Ok(false);
        }
        Ok(self.compare_with_last())
    }

    #[cold]
    fn compare_with_last(&mut self) -> bool {
        let Some(Merged { item, bytes }) = self.merge.current() else {
            return false;
        };
        let key = item.key(bytes);
        if key == self.last_key {
            if self.repeats == Repeats::Refuse {
                let number = item.origin.number;
                if self
                    .repeat
                    .as_ref()
                    .is_none_or(|(first, _)| number < *first)
                {
                    let error = Error::DuplicateKey {
                        key: excerpt(key),
                        first_line: self.last_origin.line,
                        line: item.origin.line,
                    };
                    self.repeat = Some((number, error));
                }
            }
            return self.repeats != Repeats::Keep;
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.last_origin = item.origin;
        self.repeat.is_some()
    }
}

/// A key for a message: escaped, and its beginning only where it is long.
fn excerpt(key: &[u8]) -> String {
    const MAX: usize = 80;
    match key.get(..MAX) {
        Some(start) if key.len() > MAX => format!("{}…", start.escape_ascii()),
        _ => key.escape_ascii().to_string(),
    }
}

/// What the keys of all runs begin with.
fn common_beginning(runs: &[Run]) -> Vec<u8> {
    let mut all = runs.iter().map(Run::common);
    let first = all.next().unwrap_or_default();
    let len = all.fold(first.len(), |len, common| {
        common_len(first.get(..len).unwrap_or_default(), common)
    });
    first.get(..len).unwrap_or_default().to_vec()
}
