//! The same for what works beside requests: quotas, the collector, audits.

/// Implements the parts of [`MetadataStore`](crate::MetadataStore) that work beside requests.
macro_rules! dispatch_background {
    ($store:ident) => {
        const _: () = {
            use std::time::Duration;

            use async_trait::async_trait;
            use registry_digest::Digest;
            use registry_types::{Cause, Location, RepositoryName};

            use crate::{
                Audit, CollectRules, Collected, Collecting, Image, ImagePage, ImagePosition,
                ManifestPosition, Preview, QueuePosition, QuotaUsage, Quotas, Reclaim, Result,
                StoredManifest, StoredObject, UnknownObject,
                clock::millis,
                logic::{audit, collect, expiry, quota, reclaim, retention},
            };

            #[async_trait]
            impl Quotas for $store {
                async fn begin_quotas(&self) -> Result<()> {
                    let operation = "count for quotas";
                    let counted = read!(self, operation, |session| quota::prefixes(session))?;
                    if counted == self.options.quota_prefixes() {
                        return Ok(());
                    }
                    transact!(self, operation, Full, [], |tx| quota::begin(tx, false))
                }

                async fn recount_quotas(&self) -> Result<()> {
                    transact!(self, "count for quotas", Full, [], |tx| quota::begin(tx, true))
                }

                async fn quota_usage(&self) -> Result<Vec<QuotaUsage>> {
                    read!(self, "read quotas", |session| quota::usage(session, &self.options))
                }
            }

            #[async_trait]
            impl Collecting for $store {
                async fn unread_labels(&self, limit: usize) -> Result<Vec<(RepositoryName, Digest)>> {
                    read!(self, "list unread labels", |session| expiry::unread(session, limit))
                }

                async fn postpone_labels(
                    &self,
                    repository: &RepositoryName,
                    digest: &Digest,
                    by: Duration,
                ) -> Result<()> {
                    transact!(
                        self,
                        "put off the reading of labels",
                        Process,
                        [repository = repository.clone(), digest = *digest, by = by],
                        |tx| expiry::postpone(tx, repository, digest, *by)
                    )
                }

                async fn set_expiry(
                    &self,
                    repository: &RepositoryName,
                    digest: &Digest,
                    after: Option<Duration>,
                ) -> Result<()> {
                    transact!(
                        self,
                        "set an expiry",
                        Process,
                        [repository = repository.clone(), digest = *digest, after = after],
                        |tx| expiry::set(tx, repository, digest, *after)
                    )
                }

                async fn collect(&self, rules: &CollectRules, limit: usize) -> Result<Vec<Collected>> {
                    self.collect_garbage(*rules, limit).await
                }

                async fn preview_collect(
                    &self,
                    rules: &CollectRules,
                    after: Option<&QueuePosition>,
                    limit: usize,
                ) -> Result<Preview> {
                    read!(self, "look for garbage", |session| {
                        collect::preview(session, &self.options, *rules, after, limit)
                    })
                }

                async fn enqueue_untagged(
                    &self,
                    after: Option<&QueuePosition>,
                    limit: usize,
                ) -> Result<Option<QueuePosition>> {
                    let operation = "look for untagged manifests";
                    transact!(self, operation, Full, [after = after.cloned(), limit = limit], |tx| {
                        collect::enqueue_untagged(tx, after.as_ref(), *limit)
                    })
                }

                async fn images(
                    &self,
                    repository: &RepositoryName,
                    after: Option<&ImagePosition>,
                    limit: usize,
                ) -> Result<ImagePage> {
                    read!(self, "list images", |session| {
                        retention::page(session, &self.options, repository, after, limit)
                    })
                }

                async fn expire_image(
                    &self,
                    repository: &RepositoryName,
                    image: &Image,
                    cause: &Cause,
                ) -> Result<bool> {
                    transact!(
                        self,
                        "expire an image",
                        Full,
                        [repository = repository.clone(), image = image.clone(), cause = cause.clone()],
                        |tx| retention::expire(tx, repository, image, cause)
                    )
                }

                async fn reclaimable(&self, limit: usize) -> Result<Vec<Reclaim>> {
                    self.take_reclaimable(limit).await
                }

                async fn postpone_reclaim(&self, location: &Location, by: Duration) -> Result<()> {
                    write_alone!(
                        self,
                        "put off the deletion of bytes",
                        Process,
                        [location = location.clone(), by = by],
                        |session| reclaim::postpone(session, location, *by)
                    )
                }

                async fn reclaimable_count(&self, limit: usize) -> Result<u64> {
                    read!(self, "count bytes to reclaim", |session| reclaim::due_count(session, limit))
                }

                async fn reclaimed(&self, location: &Location) -> Result<()> {
                    // If a crash forgets this, the bytes are deleted once more.
                    write_alone!(
                        self,
                        "forget reclaimed bytes",
                        Process,
                        [location = location.clone()],
                        |session| { reclaim::done(session, location) }
                    )
                }
            }

            #[async_trait]
            impl Audit for $store {
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
                    transact!(self, "show an object again", Full, [location = location.clone()], |tx| {
                        audit::mark_good(tx.session, location)
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
                    self.verify_database().await
                }
            }
        };
    };
}
pub(crate) use dispatch_background;
