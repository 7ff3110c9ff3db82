//! Repositories that an earlier program made are put into their namespaces when the database is opened. What can not be placed
//! then is a warning, and the collector's; a database in which nothing is to be placed is not written to.

use registry_database::{
    Durability, Error, Fault, Sqlite,
    sqlite::{Session, at_once},
};
use rusqlite::{Connection, TransactionBehavior};

use crate::logic::namespaces::{Placing, is_any_unplaced, place, warn_not_placed};

/// What is being done, for errors.
const OPERATION: &str = "place repositories";

/// For a database that nothing else follows: before it is open.
pub(super) fn place_all(writer: &mut Connection) {
    if let Err(fault) = try_place_all(writer) {
        warn_not_placed(&fault.explain(OPERATION));
    }
}

fn try_place_all(writer: &mut Connection) -> Result<(), Fault> {
    if !is_any(writer)? {
        return Ok(());
    }
    let mut placing = Placing::default();
    while !placing.is_done() {
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        placing = at_once(place(&Session::new(&transaction), placing))?;
        transaction.commit()?;
    }
    Ok(())
}

/// For a database with a journal, which is told of it.
pub(super) async fn place_all_journalled(database: &Sqlite) {
    if let Err(error) = try_place_all_journalled(database).await {
        warn_not_placed(&error);
    }
}

async fn try_place_all_journalled(database: &Sqlite) -> Result<(), Error> {
    if !database.readers().read(OPERATION, is_any)? {
        return Ok(());
    }
    let mut placing = Placing::default();
    while !placing.is_done() {
        let work = |connection: &Connection| at_once(place(&Session::new(connection), placing));
        placing = database.writer().run(OPERATION, Durability::Full, (), work).await?;
    }
    Ok(())
}

fn is_any(connection: &Connection) -> Result<bool, Fault> {
    at_once(is_any_unplaced(&Session::new(connection)))
}
