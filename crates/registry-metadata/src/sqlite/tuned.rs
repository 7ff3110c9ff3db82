//! What logic finds tuned for SQLite.

use registry_database::sqlite::Session;
use registry_digest::Digest;

use super::{blobs, fault::Fault, put, tags};
use crate::{
    logic::{
        Tx,
        tuned::{SetTag, Tuned},
    },
    push::Put,
    steps::DynStep,
};

impl<'c> Tuned for Session<'c> {
    async fn set_tag(tx: &Tx<'_, Session<'c>>, set: &SetTag<'_>) -> Result<Option<Digest>, Fault> {
        tags::set(tx, set.repository, set.tag, set.digest, set.cause)
    }

    async fn link_blob(tx: &Tx<'_, Session<'c>>, repository: i64, digest: &Digest) -> Result<(), Fault> {
        blobs::link(tx, repository, digest)
    }

    async fn link_manifest(tx: &Tx<'_, Session<'c>>, repository: i64, put: &Put) -> Result<(), Fault> {
        put.link(tx, repository)
    }

    async fn put_manifest(tx: &Tx<'_, Session<'c>>, manifest: &Put) -> Result<(), Fault> {
        put::push(tx, manifest).await
    }

    async fn step<Of: Sync + 'static>(&self, step: &DynStep<Of>, of: &Of) -> Result<(), Fault> {
        step.on_sqlite(self, of)
    }
}
