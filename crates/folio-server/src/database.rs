//! What clients select by a number.

use std::ops::Deref;

use folio::View;
use folio_table::{Checked, Result, StoreReader, Table};

/// A table to be served: always the same, or the current one of a store.
///
/// ```no_run
/// use folio_server::{Config, Database, Supervisor};
/// use folio_table::{Store, Table, Verify};
///
/// let users = Store::open("users")?.checked_reader(Verify::Never)?;
/// let users = Database::from(users);
/// let cities = Database::from(Table::options().open("cities.folio")?);
/// assert!(cities.generation().is_none());
/// let supervisor = Supervisor::bind(Config::default(), [users, cities])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Database<B = Checked<View>> {
    /// A table.
    Table(Table<B>),
    /// A store, of which each worker serves what is current.
    Store(StoreReader<B>),
}

impl<B> Database<B> {
    /// The table that is served now.
    #[inline]
    #[must_use]
    pub fn table(&self) -> &Table<B> {
        match self {
            Self::Table(table) => table,
            Self::Store(reader) => reader.current().table(),
        }
    }

    /// The number of its generation; `None` for a table that is of no store.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        match self {
            Self::Table(_) => None,
            Self::Store(reader) => Some(reader.current().number()),
        }
    }

    /// Goes on to what is current, at the cost of some nanoseconds where that is what it
    /// has, and says whether it did. Where it cannot, it keeps what it has.
    #[inline]
    pub(crate) fn refresh(&mut self) -> Result<bool> {
        match self {
            Self::Table(_) => Ok(false),
            Self::Store(reader) => reader.refresh(),
        }
    }

    /// The same by looking at the store's files in any case.
    pub(crate) fn recheck(&mut self) -> Result<bool> {
        match self {
            Self::Table(_) => Ok(false),
            Self::Store(reader) => reader.recheck(),
        }
    }

    /// Whether it may change.
    pub(crate) fn is_store(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

impl<B> Deref for Database<B> {
    type Target = Table<B>;

    #[inline]
    fn deref(&self) -> &Table<B> {
        self.table()
    }
}

impl<B> From<Table<B>> for Database<B> {
    fn from(table: Table<B>) -> Self {
        Self::Table(table)
    }
}

impl<B> From<StoreReader<B>> for Database<B> {
    fn from(reader: StoreReader<B>) -> Self {
        Self::Store(reader)
    }
}
