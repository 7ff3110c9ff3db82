//! The collector's statements.
//!
//! What is due is looked for without locks (`DUE`). On PostgreSQL each entry is then locked by `LOCK_ENTRY`, and the trash by
//! `TAKE_TRASHED_TAGS` and `TAKE_TRASHED_MANIFESTS`, which pass over what another collector has, so that each has one collector;
//! `LOCK_BLOB_LEASE` and `LOCK_MANIFEST_LEASE` lock the row, so that the lease that is read is the one that counts. What decides
//! comes in a new statement after that. SQLite has one writer and locks no row.

use registry_database::Statement;

use super::{of_each, postgres, statements};

statements! {
    DUE = "SELECT kind, repository, digest, reason FROM gc_queue
        WHERE due_at <= now_ms() AND kind <> 'label' ORDER BY due_at LIMIT $1";

    /// The whole queue, due or not, for a preview.
    QUEUE_AFTER = "SELECT kind, repository, digest, reason FROM gc_queue
        WHERE (kind, repository, digest) > ($1, $2, $3) AND kind <> 'label' ORDER BY kind, repository, digest LIMIT $4";

    DEQUEUE = "DELETE FROM gc_queue WHERE kind = $1 AND repository = $2 AND digest = $3";

    /// Looks again at that moment, for the same reason.
    POSTPONE_UNTIL = "UPDATE gc_queue SET due_at = $1 WHERE kind = $2 AND repository = $3 AND digest = $4";

    POSTPONE_BY = "UPDATE gc_queue SET due_at = now_ms() + $1 WHERE kind = $2 AND repository = $3 AND digest = $4";

    REPOSITORY_NAME = "SELECT name FROM repositories WHERE id = $1";

    BLOB_LEASE = "SELECT lease_until, now_ms() FROM repository_blobs WHERE repository = $1 AND digest = $2";

    BLOB_REFERENCED = "SELECT 1 FROM manifest_blobs m WHERE m.repository = $1 AND m.target = $2
        UNION ALL
        SELECT 1 FROM manifest_blobs m WHERE m.repository = $1 AND m.digest = $2 AND m.target IS NULL
        LIMIT 1";

    /// The condition is tried again on the row as it is when it is locked.
    UNLINK = "DELETE FROM repository_blobs
        WHERE repository = $1 AND digest = $2 AND lease_until <= now_ms()
            AND NOT EXISTS (SELECT 1 FROM manifest_blobs m WHERE m.repository = $1 AND m.target = $2)
            AND NOT EXISTS (SELECT 1 FROM manifest_blobs m
                WHERE m.repository = $1 AND m.digest = $2 AND m.target IS NULL)";

    MANIFEST_LEASE = "SELECT lease_until, now_ms() FROM manifests WHERE repository = $1 AND digest = $2";

    DIGEST_OBJECT = "SELECT o.id, o.size FROM digests d JOIN objects o ON o.id = d.object WHERE d.digest = $1";

    DIGEST_LINKED = "SELECT 1 FROM repository_blobs WHERE digest = $1 LIMIT 1";

    DIGEST_TRASHED = "SELECT 1 FROM trash_blobs WHERE digest = $1 LIMIT 1";

    REMOVE_DIGEST = "DELETE FROM digests WHERE digest = $1
        AND NOT EXISTS (SELECT 1 FROM repository_blobs b WHERE b.digest = $1)
        AND NOT EXISTS (SELECT 1 FROM trash_blobs t WHERE t.digest = $1)
        RETURNING object";

    /// The last digest takes the object along.
    REMOVE_OBJECT = "DELETE FROM objects WHERE id = $1
        AND NOT EXISTS (SELECT 1 FROM digests d WHERE d.object = $1)
        RETURNING location, size";

    /// Images whose labels are to be read now, after a repository's number and a digest: those two, and the name.
    UNREAD_LABELS = "SELECT q.repository, q.digest, r.name
        FROM gc_queue q
        JOIN repositories r ON r.id = q.repository
        WHERE q.kind = 'label' AND (q.repository, q.digest) > ($1, $2) AND q.due_at <= now_ms() AND r.purge_at IS NULL
        ORDER BY q.repository, q.digest LIMIT $3";

    SET_EXPIRY = "UPDATE manifests SET expires_after = $1 WHERE repository = $2 AND digest = $3";

    EXPIRES_AFTER = "SELECT expires_after FROM manifests WHERE repository = $1 AND digest = $2";

    /// The tags that lead to a manifest and expire, those that were set first before the others; after a time and a name.
    EXPIRING = "SELECT t.name, t.updated_at, m.expires_after, now_ms()
        FROM manifests m
        JOIN tags t ON t.repository = m.repository AND t.digest = m.digest
        WHERE m.repository = $1 AND m.digest = $2 AND m.expires_after IS NOT NULL
            AND (t.updated_at, t.name) > ($3, $4)
        ORDER BY t.updated_at, t.name LIMIT $5";

    TRASHED_TAGS = "SELECT repository, name, digest FROM trash_tags
        WHERE purge_at <= now_ms() ORDER BY purge_at LIMIT $1";

    PURGE_TAG = "DELETE FROM trash_tags WHERE repository = $1 AND name = $2 AND digest = $3";

    POSTPONE_TAG = "UPDATE trash_tags SET purge_at = now_ms() + $1
        WHERE repository = $2 AND name = $3 AND digest = $4";

    TRASHED_MANIFESTS = "SELECT repository, digest FROM trash_manifests
        WHERE purge_at <= now_ms() ORDER BY purge_at LIMIT $1";

    POSTPONE_MANIFEST = "UPDATE trash_manifests SET purge_at = now_ms() + $1 WHERE repository = $2 AND digest = $3";

    PURGE_BLOBS = "DELETE FROM trash_blobs WHERE repository = $1 AND manifest = $2 RETURNING digest";

    PURGE_MANIFEST = "DELETE FROM trash_manifests WHERE repository = $1 AND digest = $2";

    /// Manifests in the order of their keys, and whether a tag leads there.
    MANIFESTS_AFTER = "SELECT m.repository, m.digest,
            (SELECT 1 FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest LIMIT 1) IS NOT NULL
        FROM manifests m WHERE (m.repository, m.digest) > ($1, $2)
        ORDER BY m.repository, m.digest LIMIT $3";
}

/// As `BLOB_LEASE`, with the row locked.
pub(crate) const LOCK_BLOB_LEASE: Statement = Statement::each(BLOB_LEASE.sqlite, postgres::LOCK_BLOB_LEASE);

/// As `MANIFEST_LEASE`, with the row locked.
pub(crate) const LOCK_MANIFEST_LEASE: Statement =
    Statement::each(MANIFEST_LEASE.sqlite, postgres::LOCK_MANIFEST_LEASE);

/// As `DIGEST_OBJECT`, with the digest's row locked.
pub(crate) const LOCK_DIGEST_OBJECT: Statement =
    Statement::each(DIGEST_OBJECT.sqlite, postgres::LOCK_DIGEST_OBJECT);

/// As `TRASHED_TAGS`, without those that another collector has locked.
pub(crate) const TAKE_TRASHED_TAGS: Statement =
    Statement::each(TRASHED_TAGS.sqlite, postgres::TAKE_TRASHED_TAGS);

/// As `TRASHED_MANIFESTS`, without those that another collector has locked.
pub(crate) const TAKE_TRASHED_MANIFESTS: Statement =
    Statement::each(TRASHED_MANIFESTS.sqlite, postgres::TAKE_TRASHED_MANIFESTS);

of_each! {
    /// Why an entry is on the queue, for one collector: another one that has the entry is left to it, and so is one that is
    /// not due any more.
    LOCK_ENTRY;

    /// One of the trashed tags that are due, by its key, if no other collector has locked it.
    LOCK_TRASHED_TAG;

    /// Likewise of the manifests.
    LOCK_DUE_MANIFEST;
}
