//! Work of content: done by the thread that writes, with what was configured, and counted for quotas before it is kept.

use std::sync::Arc;

use registry_database::{
    Fault, Sqlite,
    sqlite::{Session, at_once},
};
use rusqlite::Connection;

pub(super) use registry_database::Durability;

use crate::{
    Options, Result,
    logic::{self, ending::end},
};

/// A transaction of content.
pub(super) type Tx<'a> = logic::Tx<'a, Session<'a>>;

#[derive(Clone, Debug)]
pub(super) struct Writer {
    database: Arc<Sqlite>,
    options: Arc<Options>,
}

/// Ends what a transaction, or a savepoint of it, was asked for.
pub(super) async fn keep(tx: &Tx<'_>) -> std::result::Result<(), Fault> {
    end(tx).await?.0.write(tx.session, &tx.options.recorder).await
}

impl Writer {
    pub(super) fn new(database: Arc<Sqlite>, options: Arc<Options>) -> Writer {
        Writer { database, options }
    }

    /// Does `work` in a transaction and answers when that is committed. Once it is queued it is done, even if the future
    /// is dropped; `hold` is dropped after the commit.
    pub(super) async fn run<T, H>(
        &self,
        operation: &'static str,
        durability: Durability,
        hold: H,
        work: impl FnOnce(&Tx<'_>) -> std::result::Result<T, Fault> + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        H: Send + 'static,
    {
        let options = self.options.clone();
        let work = move |connection: &Connection| {
            let session = Session::new(connection);
            let tx = Tx::new(&session, &options);
            let value = work(&tx)?;
            at_once(keep(&tx))?;
            Ok(value)
        };
        let done = self.database.writer().run(operation, durability, hold, work).await?;
        self.options.recorder.committed();
        Ok(done)
    }

    /// Fails if nothing can be written any more.
    pub(super) fn check(&self, operation: &'static str) -> Result<()> {
        Ok(self.database.writer().check(operation)?)
    }
}
