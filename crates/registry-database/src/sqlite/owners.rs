//! Owners that come while a database is open.

use rusqlite::Connection;

use super::{
    Sqlite,
    migrate::{found, make},
};
use crate::{Durability, Error, Fault, OpenError, Owners};

/// What is being done, for errors.
const OPERATION: &str = "make the tables of an owner";

impl Sqlite {
    /// As [`Database::use_owners`](crate::Database::use_owners).
    ///
    /// # Errors
    /// See there.
    pub async fn use_owners(&self, wanted: &[&'static str]) -> Result<(), OpenError> {
        let owners = self.owners;
        let missing = self.read_found(|found| owners.plan(found, wanted).map(|plan| !plan.is_empty()))?;
        if !missing {
            return Ok(());
        }
        if self.is_followed {
            return Err(OpenError::Followed { owners: wanted.join(", ") });
        }
        let names = wanted.to_vec();
        let work = move |connection: &Connection| make(connection, &owners, &names).map_err(Fault::refused);
        self.writer().run(OPERATION, Durability::Full, (), work).await.map_err(unpack)
    }

    /// As [`Database::has_owner`](crate::Database::has_owner).
    ///
    /// # Errors
    /// See there.
    pub fn has_owner(&self, owner: &str) -> Result<bool, OpenError> {
        self.read_found(|found| Ok(found.owners.contains_key(owner)))
    }

    /// The owners that the database was opened with.
    pub fn owners(&self) -> Owners {
        self.owners
    }

    /// Those of its owners that are there.
    #[cfg(feature = "postgres")]
    pub(crate) fn present_owners(&self) -> Result<Vec<&'static str>, OpenError> {
        self.read_found(|found| Ok(found.present(&self.owners)))
    }

    fn read_found<T>(
        &self,
        read: impl FnOnce(&crate::owners::Found) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let look = |connection: &Connection| {
            let found = found(connection).and_then(|found| read(&found));
            found.map_err(Fault::refused)
        };
        self.readers().read("look whose tables there are", look).map_err(unpack)
    }
}

/// The reason that the work itself gave, or that of the database.
fn unpack(error: Error) -> OpenError {
    match error {
        Error::Refused(reason) => match reason.downcast() {
            Ok(reason) => *reason,
            Err(source) => OpenError::Database { operation: OPERATION, source },
        },
        error => OpenError::Database { operation: OPERATION, source: error.into() },
    }
}

/// The tables of these owners that `connection` has, for work on an owner that may not be there.
///
/// # Errors
/// SQLite's.
pub fn tables_there(
    connection: &Connection,
    tables: impl Iterator<Item = &'static str>,
) -> rusqlite::Result<Vec<&'static str>> {
    let sql = "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = $1";
    let mut there = Vec::new();
    for table in tables {
        if super::statement::exists(connection, sql, [table])? {
            there.push(table);
        }
    }
    Ok(there)
}
