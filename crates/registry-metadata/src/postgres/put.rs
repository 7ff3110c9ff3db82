//! Pushing a manifest: two round trips and the commit, if its tags are new.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use registry_digest::Digest;
use registry_types::Tag;
use tokio_postgres::Row;

use super::{
    fault::Fault,
    row::{column, parsed, signed},
    sql as own, tags,
    transaction::Tx,
};
use crate::{
    MetadataError,
    collecting::{Garbage, Reason},
    logic::{expiry, manifests, pipeline, repositories},
    push::{Link, Put},
    sql::manifests as sql,
};

/// What is sent for references, for [`Connection::ready`](super::connection::Connection::ready).
const REFER: [&str; 6] =
    [own::INSERT_BLOBS, own::INSERT_CHILDREN, own::LIST, own::MEET, sql::LINK_WAITING.postgres, own::PART];

/// What is there before anything is written.
struct Found {
    repository: Option<i64>,
    /// The blobs that are here, and whether their bytes are bad.
    blobs: BTreeMap<Digest, bool>,
    children: BTreeSet<Digest>,
    tags: BTreeMap<Tag, Digest>,
}

/// References are checked, then manifest and references inserted, then tags set.
pub(super) async fn push(tx: &Tx<'_>, put: &Put) -> Result<(), Fault> {
    tx.quota.refuse_excess();
    let mut found = put.read(tx).await?;
    put.refuse_if_incomplete(&found)?;
    let repository = match found.repository {
        Some(repository) => repository,
        None => repositories::create(tx, &put.repository).await?,
    };
    if put.lock_missing_digests(tx, repository, &found.blobs, &found.children).await? {
        (found.blobs, found.children) = put.read_references(tx).await?;
    }
    let is_first = put.write(tx, repository, &found).await?;
    put.note(tx, repository, is_first, &found.tags);
    if !put.tags.is_empty() {
        expiry::begin(tx, repository, &put.digest).await?;
    }
    let moved: Vec<Digest> = found.tags.values().filter(|old| **old != put.digest).copied().collect();
    manifests::dereferenced(tx, repository, &moved, Reason::TagMoved).await
}

impl Put {
    async fn read(&self, tx: &Tx<'_>) -> Result<Found, Fault> {
        let name = self.repository.as_str();
        let tags: Vec<&str> = self.tags.iter().map(Tag::as_str).collect();
        let (repository, (blobs, children), tags) =
            pipeline!(repositories::to_change(tx, &self.repository), self.read_references(tx), async {
                tx.all(own::LOCK_TAGS, &[&name, &tags]).await
            },)?;
        let tag = |row: &Row| Ok((parsed(row, 0)?, parsed(row, 1)?));
        let tags = tags.iter().map(tag).collect::<Result<_, Fault>>()?;
        Ok(Found { repository, blobs, children, tags })
    }

    /// The blobs that are here and whether their bytes are bad, and the children, with the manifest itself among them if it
    /// is here.
    async fn read_references(
        &self,
        tx: &Tx<'_>,
    ) -> Result<(BTreeMap<Digest, bool>, BTreeSet<Digest>), Fault> {
        let (name, blobs, mut children) =
            (self.repository.as_str(), texts(&self.blobs), texts(&self.children));
        children.push(self.digest.to_string());
        let (blobs, children) = pipeline!(async { tx.all(own::LINKED_OF, &[&name, &blobs]).await }, async {
            tx.all(own::HERE_OF, &[&name, &children]).await
        },)?;
        let blob = |row: &Row| Ok((parsed(row, 0)?, column::<i64>(row, 1)? == 1));
        let blobs = blobs.iter().map(blob).collect::<Result<_, Fault>>()?;
        let children = children.iter().map(|row| parsed(row, 0)).collect::<Result<_, Fault>>()?;
        Ok((blobs, children))
    }

    /// All that is required and is not here is told at once. Bad bytes count as absent, so that the client pushes them
    /// again; but the link is there and is kept.
    fn refuse_if_incomplete(&self, found: &Found) -> Result<(), Fault> {
        let required = |digests: &BTreeMap<Digest, bool>| -> Vec<Digest> {
            digests.iter().filter(|(_, is_required)| **is_required).map(|(digest, _)| *digest).collect()
        };
        let blobs = required(&self.blobs).into_iter().filter(|blob| found.blobs.get(blob) != Some(&false));
        let children = required(&self.children).into_iter().filter(|child| !found.children.contains(child));
        let missing: BTreeSet<Digest> = blobs.chain(children).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(MetadataError::MissingReferences { digests: missing.into_iter().collect() }.into())
    }

    /// What is referred to and not here may be on its way in by another transaction, which would not see that we wait
    /// for it. Both write its row of the queue first, so one of them looks after the other. Whether there was any.
    async fn lock_missing_digests(
        &self,
        tx: &Tx<'_>,
        repository: i64,
        blobs_here: &BTreeMap<Digest, bool>,
        children_here: &BTreeSet<Digest>,
    ) -> Result<bool, Fault> {
        let blobs: Vec<String> =
            self.blobs.keys().filter(|blob| !blobs_here.contains_key(blob)).map(Digest::to_string).collect();
        let is_child_missing = |child: &&Digest| !children_here.contains(child) && **child != self.digest;
        let children: Vec<String> =
            self.children.keys().filter(is_child_missing).map(Digest::to_string).collect();
        let missing = [(Garbage::Blob(repository), &blobs), (Garbage::Manifest(repository), &children)];
        for (garbage, digests) in missing.into_iter().filter(|(_, digests)| !digests.is_empty()) {
            meet(tx, garbage, digests, Reason::Awaited).await?;
            part(tx, garbage, digests, Reason::Awaited).await?;
        }
        Ok(!blobs.is_empty() || !children.is_empty())
    }

    /// Everything in one go; only the tags if the manifest is here. (If somebody is deleting it, its foreign keys fail, and
    /// it goes in again.) Whether it is the repository's first manifest.
    async fn write(&self, tx: &Tx<'_>, repository: i64, found: &Found) -> Result<bool, Fault> {
        tx.ready(&tags::SET).await?;
        tx.ready(&manifests::GRANT).await?;
        if found.children.contains(&self.digest) {
            self.refer(tx, repository, found).await?;
            return Ok(false);
        }
        let insert = if self.has_labels { own::INSERT_LABELLED } else { sql::INSERT.postgres };
        tx.ready(&[insert]).await?;
        tx.ready(&REFER).await?;
        let (inserted, is_first, ..) = pipeline!(
            self.insert_manifest(tx, repository, insert),
            self.send_references(tx, repository, &found.blobs, &found.children),
            self.refer(tx, repository, found),
            self.arrive(tx, repository),
        )?;
        // Otherwise somebody else pushed the same meanwhile, and counts it.
        if inserted > 0 {
            self.note_for_quotas(tx, repository, &found.blobs);
        }
        Ok(is_first)
    }

    fn note_for_quotas(&self, tx: &Tx<'_>, repository: i64, blobs: &BTreeMap<Digest, bool>) {
        tx.quota.add_manifest(repository, &self.digest, self.bytes.len());
        for blob in self.blobs.keys().filter(|blob| blobs.contains_key(blob)) {
            tx.quota.add_blob(repository, blob, 1);
        }
    }

    /// For a manifest whose row is here again: its references, and what waits for it.
    pub(super) async fn link_again(&self, tx: &Tx<'_>, repository: i64) -> Result<(), Fault> {
        let (mut blobs, mut children) = self.read_references(tx).await?;
        if self.lock_missing_digests(tx, repository, &blobs, &children).await? {
            (blobs, children) = self.read_references(tx).await?;
        }
        tx.ready(&REFER).await?;
        pipeline!(self.send_references(tx, repository, &blobs, &children), self.arrive(tx, repository),)?;
        self.note_for_quotas(tx, repository, &blobs);
        Ok(())
    }

    /// Meets those who wait for this manifest, and gives it to them. After the tags, which everybody locks before the queue.
    async fn arrive(&self, tx: &Tx<'_>, repository: i64) -> Result<(), Fault> {
        let (garbage, digest) = (Garbage::Manifest(repository), [self.digest.to_string()]);
        pipeline!(
            meet(tx, garbage, &digest, Reason::Arriving),
            async { tx.execute(sql::LINK_WAITING.postgres, &[&repository, &digest[0]]).await },
            part(tx, garbage, &digest, Reason::Arriving),
        )?;
        Ok(())
    }

    /// Whether it is the repository's first manifest.
    async fn send_references(
        &self,
        tx: &Tx<'_>,
        repository: i64,
        blobs: &BTreeMap<Digest, bool>,
        children: &BTreeSet<Digest>,
    ) -> Result<bool, Fault> {
        let manifest = self.digest.to_string();
        let blobs = links(&self.blobs, |digest| blobs.contains_key(digest));
        let children = links(&self.children, |digest| children.contains(digest));
        let (.., listed) = pipeline!(
            async { tx.execute(own::INSERT_BLOBS, &[&repository, &manifest, &blobs.0, &blobs.1]).await },
            async {
                tx.execute(own::INSERT_CHILDREN, &[&repository, &manifest, &children.0, &children.1]).await
            },
            async { tx.execute(own::LIST, &[&repository]).await },
        )?;
        Ok(listed > 0)
    }

    async fn insert_manifest(
        &self,
        tx: &Tx<'_>,
        repository: i64,
        insert: &'static str,
    ) -> Result<u64, Fault> {
        let (digest, size_bytes) = (self.digest.to_string(), signed(self.bytes.len()));
        let row: super::connection::Parameters<'_> = &[
            &repository,
            &digest,
            &self.media_type,
            &size_bytes,
            &self.subject,
            &self.artifact_type,
            &tx.options.grant_ms(),
            &self.cause.actor(),
            &self.annotations,
            &&self.bytes[..],
        ];
        tx.execute(insert, row).await
    }

    /// Sets the tags, or grants a lease: nothing may refer to it yet, and its pusher is told that it is here.
    async fn refer(&self, tx: &Tx<'_>, repository: i64, found: &Found) -> Result<(), Fault> {
        if self.tags.is_empty() {
            // It was here, and somebody is deleting it: then it goes in again.
            return if manifests::grant(tx, repository, &self.digest, Reason::Pushed).await? {
                Ok(())
            } else {
                Err(Fault::Again)
            };
        }
        let set = |tag| {
            let (name, old) = (&self.repository, found.tags.get(tag));
            tags::set(tx, tags::Change { repository, name, tag, old, cause: &self.cause }, &self.digest)
        };
        // As in a pipeline: the first failure is the cause of the others.
        join_all(self.unique_tags().into_iter().map(set)).await.into_iter().collect()
    }
}

/// Writes the rows where those who wait for something and whoever brings it meet.
async fn meet(tx: &Tx<'_>, garbage: Garbage, digests: &[String], reason: Reason) -> Result<(), Fault> {
    let ((kind, repository), grant_ms) = (garbage.key(), tx.options.grant_ms());
    tx.execute(own::MEET, &[&kind, &repository, &digests, &grant_ms, &reason.as_str()]).await.map(drop)
}

/// Removes those rows, if they are nothing else. Others wait for them until this transaction ends.
async fn part(tx: &Tx<'_>, garbage: Garbage, digests: &[String], reason: Reason) -> Result<(), Fault> {
    let (kind, repository) = garbage.key();
    tx.execute(own::PART, &[&kind, &repository, &digests, &reason.as_str()]).await.map(drop)
}

/// The texts of digests, in order.
fn texts(digests: &BTreeMap<Digest, bool>) -> Vec<String> {
    digests.keys().map(Digest::to_string).collect()
}

/// The columns of references, in order: digests, and the same again for those that are here.
fn links(
    digests: &BTreeMap<Digest, bool>,
    is_here: impl Fn(&Digest) -> bool,
) -> (Vec<String>, Vec<Option<String>>) {
    let link = |digest: &Digest| {
        let text = digest.to_string();
        Link { target: is_here(digest).then(|| text.clone()), digest: text }
    };
    digests.keys().map(link).map(|link| (link.digest, link.target)).unzip()
}
