//! Repositories that an earlier program made are put into their namespaces when the database is opened.

use registry_database::{
    Durability, Error, Fault, OpenError, Sqlite,
    sqlite::{Session, at_once},
};
use rusqlite::{Connection, TransactionBehavior};

use crate::logic::namespaces::{Placing, place};

/// For a database that nothing else follows: before it is open.
pub(super) fn place_all(writer: &mut Connection) -> Result<(), OpenError> {
    let mut placing = Placing::default();
    while !placing.is_done() {
        placing = place_some(writer, placing).map_err(|fault| failed(fault.explain("place repositories")))?;
    }
    Ok(())
}

fn place_some(writer: &mut Connection, placing: Placing) -> Result<Placing, Fault> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let placing = at_once(place(&Session::new(&transaction), placing))?;
    transaction.commit()?;
    Ok(placing)
}

/// For a database with a journal, which is told of it.
pub(super) async fn place_all_journalled(database: &Sqlite) -> Result<(), OpenError> {
    let mut placing = Placing::default();
    while !placing.is_done() {
        let work = |connection: &Connection| at_once(place(&Session::new(connection), placing));
        let placed = database.writer().run("place repositories", Durability::Full, (), work);
        placing = placed.await.map_err(failed)?;
    }
    Ok(())
}

fn failed(error: Error) -> OpenError {
    OpenError::database("put repositories into their namespaces")(error)
}
