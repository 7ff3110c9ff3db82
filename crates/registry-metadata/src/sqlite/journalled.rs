//! A store whose database has a journal.

use std::{path::Path, sync::Arc};

use registry_database::{Owners, sqlite::has_content};
use registry_journal::{
    Journal, JournalError, JournalOptions, JournalStatus, Journalled, Opening, SmallObjects,
};
use rusqlite::Connection;
use tokio::runtime::Handle;

use super::{SqliteStore, namespaces};
use crate::{Clock, MetadataError, OpenError, Options};

/// The journal of a registry's database: how it is kept, and where.
#[derive(Clone, Debug)]
pub struct JournalPlace {
    /// How it is kept.
    pub options: JournalOptions,
    /// The objects that it is made of.
    pub objects: Arc<dyn SmallObjects>,
    /// The identity of the store that the objects are in, if it has one: a journal begins only for the database that
    /// belongs to it.
    pub store_id: Option<String>,
}

impl SqliteStore {
    /// Opens a database every commit of which is also stored in a [journal](registry_journal), so that it survives the loss
    /// of this disk: a database that is not there or is behind is brought up to date first. What is answered is in the
    /// journal. As for any other database, only one process may serve from it, and of those that write to one journal from
    /// databases of their own only one goes on: see [`journal_lost`](Self::journal_lost).
    ///
    /// Needs a Tokio runtime, which must outlive the store. If the future is dropped, opening goes on to its end.
    ///
    /// # Errors
    /// See [`OpenError`]. [`OpenError::Journal`] says that database and journal can not be made one; then neither was
    /// changed but for what was stored or added before that was found out.
    pub async fn open_journalled(
        path: impl AsRef<Path>,
        options: Options,
        clock: Arc<dyn Clock>,
        place: JournalPlace,
    ) -> Result<SqliteStore, OpenError> {
        let (path, runtime) = (path.as_ref().to_owned(), Handle::current());
        let open = move || -> Result<SqliteStore, OpenError> {
            let owners = options.owners;
            let mut opening = Opening::begin(&path, owners, clock, place.options, place.objects, runtime)?;
            if opening.is_beginning() {
                check_together(opening.writer(), &owners, place.store_id)?;
            }
            let Journalled { journal, database } = opening.finish()?;
            Ok(SqliteStore { journal: Some(journal), ..Self::over(database, options) })
        };
        let opened = tokio::task::spawn_blocking(open).await;
        let store: SqliteStore = opened.unwrap_or_else(|error| {
            let operation = "open the database on a thread of its own";
            Err(registry_database::OpenError::System { operation, source: std::io::Error::other(error) }
                .into())
        })?;
        namespaces::place_all_journalled(&store.database).await;
        Ok(store)
    }

    /// How the journal is doing; none without one.
    pub fn journal_status(&self) -> Option<JournalStatus> {
        self.journal.as_ref().map(Journal::status)
    }

    /// Completes when the journal is lost, with the reason: another process writes to it, or it is damaged. Nothing is
    /// acknowledged any more, and what is read here may be out of date: stop serving. Never completes without a journal.
    pub async fn journal_lost(&self) -> Arc<JournalError> {
        match &self.journal {
            Some(journal) => journal.lost().await,
            None => std::future::pending().await,
        }
    }

    /// Completes when everything that is committed is stored, if there is a journal.
    ///
    /// # Errors
    /// [`Unavailable`](crate::MetadataError::Unavailable), if that does not happen in time.
    pub async fn journal_settled(&self) -> crate::Result<()> {
        self.settled("store the journal").await
    }

    /// Ends the journal before the store is dropped: what is not stored then is kept in the database, and nothing more is
    /// acknowledged. Without a journal nothing happens.
    pub fn end_journal(&self) {
        if let Some(journal) = &self.journal {
            journal.end();
        }
    }

    /// Fails if the journal has ended.
    pub(super) fn check_journal(&self, operation: &'static str) -> crate::Result<()> {
        match self.journal_status().and_then(|status| status.fault) {
            Some(fault) => Err(unavailable(operation, fault)),
            None => Ok(()),
        }
    }

    /// Waits until everything that a reader could see is stored: a client may be told it as a promise then.
    pub(super) async fn settled(&self, operation: &'static str) -> crate::Result<()> {
        match &self.journal {
            Some(journal) => journal.settled().await.map_err(|fault| unavailable(operation, fault)),
            None => Ok(()),
        }
    }
}

/// A database without content that is bound to a store without an identity may be on its way into its first start.
fn check_together(database: &Connection, owners: &Owners, store: Option<String>) -> Result<(), OpenError> {
    let look = || -> rusqlite::Result<(Option<String>, bool)> {
        let bound = database.query_row("SELECT id FROM store", [], |row| row.get(0))?;
        Ok((bound, has_content(database, owners)?))
    };
    let (bound, has_content) =
        look().map_err(registry_database::OpenError::database("read the store's identity"))?;
    match bound == store || (store.is_none() && !has_content) {
        true => Ok(()),
        false => Err(OpenError::NotTogether { store, database: bound }),
    }
}

/// What the journal's trouble means for a client that asked for `operation`.
fn unavailable(operation: &'static str, fault: Arc<JournalError>) -> MetadataError {
    MetadataError::Unavailable { operation, source: Box::new(fault) }
}
