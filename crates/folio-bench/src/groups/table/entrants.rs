//! The files of all contestants, and their places in the field.

use std::collections::HashMap;
use std::path::Path;

use super::cdb::Cdb;
use super::data::{Data, Key, Queries, Records, These, fold};
use super::field::{Field, Seat, batches, lookups};
use super::fst::Fst;
use super::lines::Lines;
use super::lmdb::{Lmdb, Put};
use super::ours::Ours;
use super::redb::Redb;
use crate::args::Settings;
use crate::row::Skipped;

/// The same records in the hands of each contestant.
pub(super) struct Entrants {
    ours: Ours,
    lines: Lines,
    cdb: Peer<Cdb>,
    lmdb: Peer<Lmdb>,
    redb: Peer<Redb>,
    fst: Peer<Fst>,
    hash_map: Peer<HashMap<Key, Box<[u8]>>>,
}

/// A peer, or why there is none.
type Peer<T> = Result<T, Skipped>;

impl Entrants {
    /// Makes the files of folio and of those peers that the rows asked for compare with.
    pub(super) fn new(settings: &Settings, data: Data, folder: &Path) -> Result<Self, Skipped> {
        let ids = data.sorted_ids();
        let in_order = These(data, &ids);
        let path = folder.join("table.folio");
        Ours::make(&data, &path)?;
        Ok(Self {
            ours: Ours::open(&path)?,
            lines: Lines::of(&path)?,
            cdb: settings.peer("tinycdb", || {
                let path = folder.join("table.cdb");
                Cdb::make(&data, &path)?;
                Cdb::open(&path)
            }),
            // Put in order, LMDB fills its pages: the fewest there can be.
            lmdb: settings.peer("LMDB", || {
                let path = folder.join("table.lmdb");
                Lmdb::make(&in_order, Put::Append, &path)?;
                Lmdb::open(data, &ids, &path)
            }),
            redb: settings.peer("redb", || Redb::make(&in_order, &folder.join("table.redb"))),
            fst: settings.peer("fst", || Fst::make(&in_order, folder)),
            hash_map: settings.peer("HashMap", || {
                let mut map = HashMap::new();
                data.each(|key, value| {
                    map.insert(*key, value.into());
                    Ok(())
                })?;
                Ok(map)
            }),
        })
    }

    /// Reads every page of every file; what is in memory of our own stays there.
    pub(super) fn touch(&self) -> Result<(), Skipped> {
        self.ours.touch()?;
        self.lines.touch();
        self.cdb.as_ref().map_or(Ok(()), Cdb::touch)?;
        self.lmdb.as_ref().map_or(Ok(()), Lmdb::touch)?;
        if let Ok(fst) = &self.fst {
            fst.touch();
        }
        Ok(())
    }

    pub(super) fn gather<'a>(&'a self, field: &mut Field<'a>) -> usize {
        field.enter(self.lines.gather())
    }

    pub(super) fn ours<'a>(&'a self, field: &mut Field<'a>, queries: &'a Queries) -> Seat {
        let mut buf = Vec::new();
        let work = lookups(queries, move |key| self.ours.get(key, &mut buf))?;
        Ok(field.enter(work))
    }

    pub(super) fn ours_by_32<'a>(&'a self, field: &mut Field<'a>, queries: &'a Queries) -> Seat {
        let work = batches(queries, 32, |keys| self.ours.get_many(keys))?;
        Ok(field.enter(work))
    }

    pub(super) fn cdb<'a>(&'a self, field: &mut Field<'a>, queries: &'a Queries) -> Seat {
        let cdb = self.cdb.as_ref().map_err(Clone::clone)?;
        let work = lookups(queries, |key| Ok(cdb.get(key)?.map(fold)))?;
        Ok(field.enter(work))
    }

    pub(super) fn lmdb<'a>(&'a self, field: &mut Field<'a>, queries: &'a Queries) -> Seat {
        let lmdb = self.lmdb.as_ref().map_err(Clone::clone)?;
        let work = lookups(queries, |key| Ok(lmdb.get(key)?.map(fold)))?;
        Ok(field.enter(work))
    }

    pub(super) fn redb<'a>(&'a self, field: &mut Field<'a>, queries: &'a Queries) -> Seat {
        let redb = self.redb.as_ref().map_err(Clone::clone)?;
        let work = lookups(queries, |key| redb.get(key, fold))?;
        Ok(field.enter(work))
    }

    pub(super) fn fst<'a>(&'a self, field: &mut Field<'a>, queries: &'a Queries) -> Seat {
        let fst = self.fst.as_ref().map_err(Clone::clone)?;
        let work = lookups(queries, |key| Ok(fst.get(key)?.map(fold)))?;
        Ok(field.enter(work))
    }

    pub(super) fn hash_map<'a>(&'a self, field: &mut Field<'a>, queries: &'a Queries) -> Seat {
        let map = self.hash_map.as_ref().map_err(Clone::clone)?;
        let work = lookups(queries, |key| Ok(map.get(key).map(|value| fold(value))))?;
        Ok(field.enter(work))
    }

    pub(super) fn scan_ours(&self) -> Result<u64, Skipped> {
        self.ours.scan()
    }

    pub(super) fn scan_lmdb(&self) -> Result<u64, Skipped> {
        self.lmdb.as_ref().map_err(Clone::clone)?.scan()
    }
}
