//! What logic finds tuned for PostgreSQL.

use registry_digest::Digest;

use super::{blobs, connection::Connection, fault::Fault, put, tags, transaction::Tx};
use crate::{
    collecting::Reason,
    logic::{
        expiry, manifests,
        tags::lock,
        tuned::{SetTag, Tuned},
    },
    push::Put,
    steps::DynStep,
};

impl Tuned for Connection {
    async fn set_tag(tx: &Tx<'_>, set: &SetTag<'_>) -> Result<Option<Digest>, Fault> {
        let SetTag { repository, name, tag, digest, cause } = *set;
        let old = lock(tx.session, name, tag).await?;
        let change = tags::Change { repository, name, tag, old: old.as_ref(), cause };
        tx.ready(&tags::SET).await?;
        tags::set(tx, change, digest).await?;
        expiry::begin(tx, repository, digest).await?;
        if let Some(old) = old.filter(|old| old != digest) {
            manifests::dereferenced(tx, repository, &[old], Reason::TagMoved).await?;
        }
        Ok(old)
    }

    async fn link_blob(tx: &Tx<'_>, repository: i64, digest: &Digest) -> Result<(), Fault> {
        blobs::link(tx, repository, digest).await
    }

    async fn link_manifest(tx: &Tx<'_>, repository: i64, put: &Put) -> Result<(), Fault> {
        put.link_again(tx, repository).await
    }

    async fn put_manifest(tx: &Tx<'_>, manifest: &Put) -> Result<(), Fault> {
        put::push(tx, manifest).await
    }

    async fn step<Of: Sync + 'static>(&self, step: &DynStep<Of>, of: &Of) -> Result<(), Fault> {
        step.on_postgres(self, of).await
    }
}
