//! Repositories that earlier programs made are put into their namespaces.

use std::sync::Arc;

use async_trait::async_trait;
use registry_database::{
    Fault, Pool,
    postgres::{self, Connection},
};

use crate::logic::namespaces::{Placing, is_any_unplaced, place, warn_not_placed};

/// Those that are there now, some in each transaction; an index read if there are none. The collector places what is left after
/// a bounded number of transactions, what another transaction has locked, and what an earlier program makes beside this one; so
/// a failure is a warning.
pub(super) async fn place_all(pool: &Arc<Pool>) {
    if let Err(fault) = try_place_all(pool).await {
        warn_not_placed(&fault.explain("place repositories"));
    }
}

async fn try_place_all(pool: &Arc<Pool>) -> Result<(), Fault> {
    if !is_any_unplaced(&*pool.connection().await?).await? {
        return Ok(());
    }
    let mut placing = Placing::default();
    while !placing.is_done() {
        placing = postgres::try_transact(pool, "place repositories".into(), (), Place(placing)).await?;
    }
    Ok(())
}

struct Place(Placing);

#[async_trait]
impl postgres::Work for Place {
    type Output = Placing;

    async fn run(&self, connection: &Connection) -> Result<Placing, Fault> {
        place(connection, self.0.clone()).await
    }
}
