//! Pushing a manifest.

use std::collections::{BTreeMap, BTreeSet};

use registry_database::sqlite::statement::{execute, exists, one};
use rusqlite::params;

use super::{fault::Fault, tags, writer::Tx};
use crate::{
    MetadataError,
    collecting::{Garbage, Reason},
    logic::{manifests, reclaim::enqueue, repositories},
    push::{Link, Put},
    sql::{blobs as blob_sql, manifests as sql, repositories as repository_sql},
};

/// References are checked, then manifest and references inserted, then tags set.
pub(super) async fn push(tx: &Tx<'_>, put: &Put) -> Result<(), Fault> {
    tx.quota.refuse_excess();
    let repository = repositories::create(tx, &put.repository).await?;
    let (blobs, children) = put.resolve(tx, repository)?;
    let mut is_first = false;
    if put.insert(tx, repository)? {
        is_first = put.insert_references(tx, repository, &blobs, &children)?;
        if put.has_labels {
            enqueue(tx, Garbage::Label(repository), &put.digest, 0, Reason::Pushed).await?;
        }
    }
    let mut before = BTreeMap::new();
    for tag in put.unique_tags() {
        let led_to = tags::set(tx, repository, tag, &put.digest, &put.cause)?;
        before.extend(led_to.map(|led_to| (tag.clone(), led_to)));
    }
    put.note(tx, repository, is_first, &before);
    if put.tags.is_empty() {
        // Nothing may refer to it yet, and its pusher was told that it is here.
        manifests::grant(tx, repository, &put.digest, Reason::Pushed).await?;
    }
    Ok(())
}

impl Put {
    /// For a manifest whose row is here again: its references, and what waits for it.
    pub(super) fn link(&self, tx: &Tx<'_>, repository: i64) -> Result<(), Fault> {
        let (blobs, children) = self.resolve(tx, repository)?;
        self.insert_references(tx, repository, &blobs, &children)?;
        Ok(())
    }

    /// Whether it is the repository's first manifest.
    fn insert_references(
        &self,
        tx: &Tx<'_>,
        repository: i64,
        blobs: &[Link],
        children: &[Link],
    ) -> rusqlite::Result<bool> {
        tx.quota.add_manifest(repository, &self.digest, self.bytes.len());
        for (digest, _) in self.blobs.keys().zip(blobs).filter(|(_, link)| link.target.is_some()) {
            tx.quota.add_blob(repository, digest, 1);
        }
        let manifest = self.digest.to_string();
        insert_links(tx, sql::INSERT_BLOB.sqlite, repository, &manifest, blobs)?;
        insert_links(tx, sql::INSERT_CHILD.sqlite, repository, &manifest, children)?;
        execute(tx.connection(), sql::LINK_WAITING.sqlite, params![repository, manifest])?;
        execute(tx.connection(), repository_sql::LIST.sqlite, [repository]).map(|listed| listed > 0)
    }

    /// What of the references is here. All that is required and is not is told at once.
    fn resolve(&self, tx: &Tx<'_>, repository: i64) -> Result<(Vec<Link>, Vec<Link>), Fault> {
        let mut digests = BTreeSet::new();
        let mut blobs = Vec::with_capacity(self.blobs.len());
        for (digest, is_required) in &self.blobs {
            let text = digest.to_string();
            let is_bad: Option<bool> =
                one(tx.connection(), blob_sql::LINKED.sqlite, params![repository, text], |row| row.get(0))?;
            // Bad bytes count as absent, so that the client pushes them again; but the link is there and is kept.
            if *is_required && is_bad != Some(false) {
                digests.insert(*digest);
            }
            blobs.push(Link { target: is_bad.map(|_| text.clone()), digest: text });
        }
        let mut children = Vec::with_capacity(self.children.len());
        for (digest, is_required) in &self.children {
            let text = digest.to_string();
            let is_here = exists(tx.connection(), sql::EXISTS.sqlite, params![repository, text])?;
            if *is_required && !is_here {
                digests.insert(*digest);
            }
            children.push(Link { target: is_here.then(|| text.clone()), digest: text });
        }
        if digests.is_empty() {
            return Ok((blobs, children));
        }
        Err(MetadataError::MissingReferences { digests: digests.into_iter().collect() }.into())
    }

    /// Whether the manifest is new here.
    fn insert(&self, tx: &Tx<'_>, repository: i64) -> rusqlite::Result<bool> {
        let row = params![
            repository,
            self.digest.to_string(),
            self.media_type,
            super::statement::signed(self.bytes.len()),
            self.subject,
            self.artifact_type,
            tx.options.grant_ms(),
            self.cause.actor(),
            self.annotations,
            &self.bytes[..],
        ];
        Ok(execute(tx.connection(), sql::INSERT.sqlite, row)? > 0)
    }
}

fn insert_links(
    tx: &Tx<'_>,
    sql: &str,
    repository: i64,
    manifest: &str,
    links: &[Link],
) -> rusqlite::Result<()> {
    for link in links {
        execute(tx.connection(), sql, params![repository, manifest, link.digest, link.target])?;
    }
    Ok(())
}
