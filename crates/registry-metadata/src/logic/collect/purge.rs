//! What was deleted and can not be restored any more.

use registry_database::{Fault, Session, params, signed};
use registry_digest::Digest;

use super::{Piece, Pieces, attempt, name_of};
use crate::{
    Candidate, CandidateKind, Collected, Kept, Verdict,
    collecting::{FAILED_AGAIN_MS, Reason},
    logic::{Tx, manifests, quota, reclaim::enqueue_digests},
    sql::collecting as sql,
};

/// Something in the trash whose window is over.
#[derive(Clone, Debug)]
pub(crate) struct Trashed {
    repository: i64,
    /// None for a manifest.
    tag: Option<String>,
    digest: String,
}

/// All that is due as one piece; if that fails, each as its own, and what fails then waits.
pub(super) async fn process_due(pieces: &impl Pieces, limit: usize) -> Result<Vec<Collected>, Fault> {
    match pieces.run(Piece::Purge(limit)).await {
        Err(fault) if fault.is_about_rows() => {}
        purged => return purged,
    }
    let due = due(&*pieces.reader().await?, limit).await?;
    let mut done = Vec::new();
    for trashed in due {
        let purge = Piece::PurgeOne(trashed.clone());
        done.extend(attempt(pieces, purge, |reason| Piece::PostponeTrashed(trashed, reason)).await?);
    }
    Ok(done)
}

async fn due(session: &impl Session, limit: usize) -> Result<Vec<Trashed>, Fault> {
    let tags: Vec<(i64, String, String)> = session.all(sql::TRASHED_TAGS, params![signed(limit)]).await?;
    let rest = signed(limit - tags.len());
    let manifests: Vec<(i64, String)> = session.all(sql::TRASHED_MANIFESTS, params![rest]).await?;
    let tags = tags.into_iter();
    let tags = tags.map(|(repository, tag, digest)| Trashed { repository, tag: Some(tag), digest });
    let manifests = manifests.into_iter();
    let manifests = manifests.map(|(repository, digest)| Trashed { repository, tag: None, digest });
    Ok(tags.chain(manifests).collect())
}

/// Removes so many that no other collector has locked.
pub(super) async fn all(tx: &Tx<'_, impl Session>, limit: usize) -> Result<Vec<Collected>, Fault> {
    let mut done = Vec::new();
    let tags: Vec<(i64, String, String)> = tx.all(sql::TAKE_TRASHED_TAGS, params![signed(limit)]).await?;
    for (repository, tag, digest) in tags {
        let tag = Trashed { repository, tag: Some(tag), digest };
        tag.remove(tx).await?;
        done.push(tag.collected(tx).await?);
    }
    let mut blobs: Vec<Digest> = Vec::new();
    let rest = signed(limit - done.len());
    let manifests: Vec<(i64, String)> = tx.all(sql::TAKE_TRASHED_MANIFESTS, params![rest]).await?;
    for (repository, digest) in manifests {
        let manifest = Trashed { repository, tag: None, digest };
        blobs.extend(manifest.remove(tx).await?);
        done.push(manifest.collected(tx).await?);
    }
    enqueue_digests(tx, &blobs, Reason::Purged).await?;
    Ok(done)
}

impl Trashed {
    /// Whether no other collector has locked it, and it is there and due.
    async fn lock(&self, tx: &Tx<'_, impl Session>) -> Result<bool, Fault> {
        let Trashed { repository, tag, digest } = self;
        match tag {
            Some(tag) => tx.exists(sql::LOCK_TRASHED_TAG, params![*repository, tag, digest]).await,
            None => tx.exists(sql::LOCK_DUE_MANIFEST, params![*repository, digest]).await,
        }
    }

    /// Removes it, and says whose bytes were kept with it.
    async fn remove(&self, tx: &Tx<'_, impl Session>) -> Result<Vec<Digest>, Fault> {
        let Trashed { repository, tag, digest } = self;
        match tag {
            Some(tag) => {
                tx.execute(sql::PURGE_TAG, params![*repository, tag, digest]).await?;
                Ok(Vec::new())
            }
            None => {
                quota::stay(tx, &[*repository]).await?;
                manifests::purge(tx, *repository, digest).await
            }
        }
    }

    /// Removes it, unless another collector has it.
    pub(super) async fn purge(&self, tx: &Tx<'_, impl Session>) -> Result<Option<Collected>, Fault> {
        if !self.lock(tx).await? {
            return Ok(None);
        }
        let blobs = self.remove(tx).await?;
        enqueue_digests(tx, &blobs, Reason::Purged).await?;
        self.collected(tx).await.map(Some)
    }

    /// Has it wait, since it could not be purged. None if another collector has it by now.
    pub(super) async fn postpone(
        &self,
        tx: &Tx<'_, impl Session>,
        reason: &str,
    ) -> Result<Option<Collected>, Fault> {
        let Trashed { repository, tag, digest } = self;
        if !self.lock(tx).await? {
            return Ok(None);
        }
        match tag {
            Some(tag) => {
                let row = params![FAILED_AGAIN_MS, *repository, tag, digest];
                tx.execute(sql::POSTPONE_TAG, row).await?
            }
            None => tx.execute(sql::POSTPONE_MANIFEST, params![FAILED_AGAIN_MS, *repository, digest]).await?,
        };
        let verdict = Verdict::Kept(Kept::Failed { reason: reason.to_owned() });
        Ok(Some(Collected { verdict, ..self.collected(tx).await? }))
    }

    async fn collected(&self, tx: &Tx<'_, impl Session>) -> Result<Collected, Fault> {
        let kind = match &self.tag {
            Some(_) => CandidateKind::TrashedTag,
            None => CandidateKind::TrashedManifest,
        };
        let (repository, digest) = (name_of(tx.session, self.repository).await?, self.digest.clone());
        let candidate = Candidate { kind, repository, digest, reason: "window is over".to_owned() };
        Ok(Collected { candidate, verdict: Verdict::Removed { bytes: 0 } })
    }
}
