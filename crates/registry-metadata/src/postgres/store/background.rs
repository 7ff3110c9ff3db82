//! What works beside requests: quotas, the collector, audits.

use std::time::Duration;

use async_trait::async_trait;
use registry_digest::Digest;
use registry_types::{Location, RepositoryName};

use super::super::{PostgresStore, collect, expiry, quota, reclaim, retention, verify};
use crate::{
    Audit, CollectRules, Collected, Collecting, Image, ImagePage, ImagePosition, ManifestPosition, Preview,
    QueuePosition, QuotaUsage, Quotas, Reclaim, Result, StoredManifest, StoredObject, UnknownObject,
    clock::millis, logic::audit,
};

#[async_trait]
impl Quotas for PostgresStore {
    async fn begin_quotas(&self) -> Result<()> {
        let operation = "count for quotas";
        if read!(self, operation, |c| quota::prefixes(c))? == self.options.quota_prefixes() {
            return Ok(());
        }
        self.transact(operation, quota::Begin { is_anew: false }).await
    }

    async fn recount_quotas(&self) -> Result<()> {
        self.transact("count for quotas", quota::Begin { is_anew: true }).await
    }

    async fn quota_usage(&self) -> Result<Vec<QuotaUsage>> {
        read!(self, "read quotas", |c| quota::usage(c, &self.options))
    }
}

#[async_trait]
impl Collecting for PostgresStore {
    async fn unread_labels(&self, limit: usize) -> Result<Vec<(RepositoryName, Digest)>> {
        read!(self, "list unread labels", |c| expiry::unread(c, limit))
    }

    async fn postpone_labels(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        by: Duration,
    ) -> Result<()> {
        let postpone = expiry::Postpone { repository: repository.clone(), digest: *digest, by };
        self.transact("put off the reading of labels", postpone).await
    }

    async fn set_expiry(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        after: Option<Duration>,
    ) -> Result<()> {
        let set = expiry::Set { repository: repository.clone(), digest: *digest, after };
        self.transact("set an expiry", set).await
    }

    async fn collect(&self, rules: &CollectRules, limit: usize) -> Result<Vec<Collected>> {
        let collected = collect::work_off(&self.pool, &self.options, *rules, limit).await;
        Ok(collected.map_err(|fault| fault.explain("collect garbage"))?)
    }

    async fn preview_collect(
        &self,
        rules: &CollectRules,
        after: Option<&QueuePosition>,
        limit: usize,
    ) -> Result<Preview> {
        read!(self, "look for garbage", |c| collect::preview(c, &self.options, *rules, after, limit))
    }

    async fn enqueue_untagged(
        &self,
        after: Option<&QueuePosition>,
        limit: usize,
    ) -> Result<Option<QueuePosition>> {
        let enqueue = collect::EnqueueUntagged { after: after.cloned(), limit };
        self.transact("look for untagged manifests", enqueue).await
    }

    async fn images(
        &self,
        repository: &RepositoryName,
        after: Option<&ImagePosition>,
        limit: usize,
    ) -> Result<ImagePage> {
        let options = &self.options;
        read!(self, "list images", |c| retention::page(c, options, repository, after, limit))
    }

    async fn expire_image(&self, repository: &RepositoryName, image: &Image, actor: &str) -> Result<bool> {
        let (repository, image, actor) = (repository.clone(), image.clone(), actor.to_owned());
        self.transact("expire an image", retention::Expire { repository, image, actor }).await
    }

    async fn reclaimable(&self, limit: usize) -> Result<Vec<Reclaim>> {
        write_of_process!(self, "list bytes to reclaim", |c| reclaim::take_due(c, limit))
    }

    async fn postpone_reclaim(&self, location: &Location, by: Duration) -> Result<()> {
        write_of_process!(self, "put off the deletion of bytes", |c| reclaim::postpone(c, location, by))
    }

    async fn reclaimable_count(&self, limit: usize) -> Result<u64> {
        read!(self, "count bytes to reclaim", |c| reclaim::due_count(c, limit))
    }

    async fn reclaimed(&self, location: &Location) -> Result<()> {
        write_of_process!(self, "forget reclaimed bytes", |c| reclaim::done(c, location))
    }
}

#[async_trait]
impl Audit for PostgresStore {
    async fn claim_sweep(&self, interval: Duration) -> Result<bool> {
        let interval_ms = millis(interval);
        write_alone!(self, "claim the look through the store", Full, [], |session| {
            audit::claim_sweep(session, interval_ms)
        })
    }

    async fn note_unknown(&self, locations: &[Location]) -> Result<Vec<UnknownObject>> {
        let operation = "look for objects that no row leads to";
        write!(self, operation, |session| audit::note_unknown(session, locations))
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
        read!(self, "verify the database", |session| async {
            let mut said = verify::check(session).await?;
            said.extend(audit::verify(session).await?);
            said.extend(quota::audit(session).await?);
            Ok(said)
        })
    }
}
