//! What works beside requests: quotas, the collector, audits.

use std::time::Duration;

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::{Location, RepositoryName};
use rusqlite::Connection;

use super::super::{
    SqliteStore, collect, expiry, quota, reclaim, retention, verify,
    writer::{
        Durability::{Full, Process},
        Tx,
    },
};
use crate::{
    Audit, CollectRules, Collected, Collecting, Image, ImagePage, ImagePosition, ManifestPosition, Preview,
    QueuePosition, QuotaUsage, Quotas, Reclaim, Result, StoredManifest, StoredObject, UnknownObject,
    clock::millis, logic::audit,
};

#[async_trait]
impl Quotas for SqliteStore {
    async fn begin_quotas(&self) -> Result<()> {
        let operation = "count for quotas";
        if self.readers.read(operation, quota::prefixes)? == self.options.quota_prefixes() {
            return Ok(());
        }
        self.writer.run(operation, Full, (), |tx| quota::begin(tx, false)).await
    }

    async fn recount_quotas(&self) -> Result<()> {
        self.writer.run("count for quotas", Full, (), |tx| quota::begin(tx, true)).await
    }

    async fn quota_usage(&self) -> Result<Vec<QuotaUsage>> {
        self.readers.read("read quotas", |reader| quota::usage(reader, &self.options))
    }
}

#[async_trait]
impl Collecting for SqliteStore {
    async fn unread_labels(&self, limit: usize) -> Result<Vec<(RepositoryName, Digest)>> {
        self.readers.read("list unread labels", |reader| expiry::unread(reader, limit))
    }

    async fn postpone_labels(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        by: Duration,
    ) -> Result<()> {
        let (repository, digest) = (repository.clone(), *digest);
        let postpone = move |tx: &Tx<'_>| Ok(expiry::postpone(tx, &repository, &digest, by)?);
        self.writer.run("put off the reading of labels", Process, (), postpone).await
    }

    async fn set_expiry(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        after: Option<Duration>,
    ) -> Result<()> {
        let (repository, digest) = (repository.clone(), *digest);
        let set = move |tx: &Tx<'_>| expiry::set(tx, &repository, &digest, after);
        self.writer.run("set an expiry", Process, (), set).await
    }

    async fn collect(&self, rules: &CollectRules, limit: usize) -> Result<Vec<Collected>> {
        let rules = *rules;
        self.writer.run("collect garbage", Full, (), move |tx| collect::work_off(tx, rules, limit)).await
    }

    async fn preview_collect(
        &self,
        rules: &CollectRules,
        after: Option<&QueuePosition>,
        limit: usize,
    ) -> Result<Preview> {
        self.readers
            .read("look for garbage", |reader| collect::preview(reader, &self.options, *rules, after, limit))
    }

    async fn enqueue_untagged(
        &self,
        after: Option<&QueuePosition>,
        limit: usize,
    ) -> Result<Option<QueuePosition>> {
        let after = after.cloned();
        let enqueue = move |tx: &Tx<'_>| collect::enqueue_untagged(tx, after.as_ref(), limit);
        self.writer.run("look for untagged manifests", Full, (), enqueue).await
    }

    async fn images(
        &self,
        repository: &RepositoryName,
        after: Option<&ImagePosition>,
        limit: usize,
    ) -> Result<ImagePage> {
        let page = |reader: &Connection| retention::page(reader, &self.options, repository, after, limit);
        self.readers.read("list images", page)
    }

    async fn expire_image(&self, repository: &RepositoryName, image: &Image, actor: &str) -> Result<bool> {
        let (repository, image, actor) = (repository.clone(), image.clone(), actor.to_owned());
        let expire = move |tx: &Tx<'_>| retention::expire(tx, &repository, &image, &actor);
        self.writer.run("expire an image", Full, (), expire).await
    }

    async fn reclaimable(&self, limit: usize) -> Result<Vec<Reclaim>> {
        let operation = "list bytes to reclaim";
        let due = self.readers.read(operation, |connection| reclaim::due(connection, limit))?;
        // Bytes must not go before the commit that gave them up can not be lost.
        self.settled(operation).await?;
        Ok(due)
    }

    async fn postpone_reclaim(&self, location: &Location, by: Duration) -> Result<()> {
        let location = location.clone();
        let postpone = move |tx: &Tx<'_>| Ok(reclaim::postpone(tx, &location, by)?);
        self.writer.run("put off the deletion of bytes", Process, (), postpone).await
    }

    async fn reclaimable_count(&self, limit: usize) -> Result<u64> {
        self.readers.read("count bytes to reclaim", |connection| reclaim::due_count(connection, limit))
    }

    async fn reclaimed(&self, location: &Location) -> Result<()> {
        let location = location.clone();
        let done = move |tx: &Tx<'_>| Ok(reclaim::done(tx, &location)?);
        // If a power cut forgets this, the bytes are deleted once more.
        self.writer.run("forget reclaimed bytes", Process, (), done).await
    }
}

#[async_trait]
impl Audit for SqliteStore {
    async fn claim_sweep(&self, interval: Duration) -> Result<bool> {
        let interval_ms = millis(interval);
        write_alone!(self, "claim the look through the store", Full, [], |session| {
            audit::claim_sweep(session, interval_ms)
        })
    }

    async fn note_unknown(&self, locations: &[Location]) -> Result<Vec<UnknownObject>> {
        let operation = "look for objects that no row leads to";
        // Nearly always there is nothing to write.
        let unknown = read!(self, operation, |session| audit::unknown(session, locations))?;
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        write_alone!(self, operation, Process, [unknown = unknown], |session| {
            audit::note_unknown(session, unknown)
        })
    }

    async fn reclaim_unknown(&self, locations: &[Location]) -> Result<u64> {
        transact!(
            self,
            "give up objects that no row leads to",
            Full,
            [locations = locations.to_vec()],
            |tx| audit::reclaim_unknown(tx, locations)
        )
    }

    async fn forget_unknown(&self, not_seen_for: Duration) -> Result<()> {
        let not_seen_for_ms = millis(not_seen_for);
        write_alone!(self, "forget objects that are known", Process, [], |session| {
            audit::forget_unknown(session, not_seen_for_ms)
        })
    }

    async fn objects(&self, after: Option<&Location>, limit: usize) -> Result<Vec<StoredObject>> {
        read!(self, "list objects", |session| audit::objects(session, after, limit))
    }

    async fn mark_good(&self, location: &Location) -> Result<()> {
        write_alone!(self, "show an object again", Full, [location = location.clone()], |session| {
            audit::mark_good(session, location)
        })
    }

    async fn all_manifests(
        &self,
        after: Option<&ManifestPosition>,
        limit: usize,
    ) -> Result<Vec<(ManifestPosition, StoredManifest)>> {
        read!(self, "list manifests", |session| audit::all_manifests(session, after, limit))
    }

    async fn verify(&self) -> Result<Vec<String>> {
        let operation = "verify the database";
        let mut said = self.readers.read(operation, verify::check)?;
        said.extend(read!(self, operation, |session| audit::verify(session))?);
        said.extend(self.readers.read(operation, quota::audit)?);
        Ok(said)
    }
}
