//! The pieces of a collection: savepoints of one transaction.

use registry_database::sqlite::Session;

use super::{
    fault::Fault,
    writer::{Tx, keep},
};
use crate::{
    Collected,
    logic::{
        collect::{Piece, Pieces},
        ending::forget,
    },
};

impl<'t> Pieces for Tx<'t> {
    type Reader<'a>
        = &'a Session<'t>
    where
        Self: 'a;

    async fn reader(&self) -> Result<&Session<'t>, Fault> {
        Ok(self.session)
    }

    /// A failure that is the whole transaction's is told by the next statement in any case.
    async fn run(&self, piece: Piece) -> Result<Vec<Collected>, Fault> {
        let savepoint = |sql: &str| self.connection().prepare_cached(sql)?.raw_execute();
        savepoint("SAVEPOINT piece")?;
        let result = settled(self, &piece).await;
        // What a piece noted that failed is neither counted nor told.
        forget(self);
        if result.is_err() {
            savepoint("ROLLBACK TO piece")?;
        }
        savepoint("RELEASE piece")?;
        result
    }
}

async fn settled(tx: &Tx<'_>, piece: &Piece) -> Result<Vec<Collected>, Fault> {
    let done = piece.run(tx).await?;
    keep(tx).await?;
    Ok(done)
}
