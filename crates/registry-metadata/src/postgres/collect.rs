//! The pieces of a collection: each is a transaction of its own.

use std::sync::Arc;

use async_trait::async_trait;
use registry_database::Pooled;

use super::{
    fault::Fault,
    pool::Pool,
    transaction::{Tx, Work, try_transact},
};
use crate::{
    Collected, Options,
    logic::collect::{Piece, Pieces},
};

/// What a collection is done with.
pub(super) struct Collector {
    pub(super) pool: Arc<Pool>,
    pub(super) options: Arc<Options>,
}

impl Pieces for Collector {
    type Reader<'a>
        = Pooled
    where
        Self: 'a;

    async fn reader(&self) -> Result<Pooled, Fault> {
        self.pool.connection().await
    }

    async fn run(&self, piece: Piece) -> Result<Vec<Collected>, Fault> {
        try_transact(&self.pool, &self.options, (), piece).await
    }
}

#[async_trait]
impl Work for Piece {
    type Output = Vec<Collected>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Vec<Collected>, Fault> {
        Piece::run(self, tx).await
    }
}
