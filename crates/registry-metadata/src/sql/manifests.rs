use registry_database::Statement;

use super::{postgres, sqlite, statements};

/// Whether something refers to the manifest `m`.
macro_rules! referenced {
    () => {
        "WHEN EXISTS (SELECT 1 FROM tags t
            WHERE t.repository = m.repository AND t.digest = m.digest) THEN 1
        WHEN EXISTS (SELECT 1 FROM manifest_children c
            WHERE c.repository = m.repository AND c.target = m.digest) THEN 1
        WHEN EXISTS (SELECT 1 FROM manifest_children c
            WHERE c.repository = m.repository AND c.digest = m.digest AND c.target IS NULL) THEN 1
        WHEN m.subject IS NOT NULL AND EXISTS (SELECT 1 FROM manifests s
            WHERE s.repository = m.repository AND s.digest = m.subject) THEN 1
        ELSE 0 END"
    };
}
pub(super) use referenced;

statements! {
    BY_TAG = "SELECT m.digest, m.media_type, m.bytes
        FROM repositories r
        JOIN tags t ON t.repository = r.id
        JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest
        WHERE r.name = $1 AND t.name = $2";

    BY_DIGEST = "SELECT m.digest, m.media_type, m.bytes
        FROM repositories r
        JOIN manifests m ON m.repository = r.id
        WHERE r.name = $1 AND m.digest = $2";

    /// As `BY_TAG`, with the bytes left out if there are more than `$1`.
    BY_TAG_WITHIN = "SELECT m.digest, m.media_type, m.size, CASE WHEN m.size <= $1 THEN m.bytes END
        FROM repositories r
        JOIN tags t ON t.repository = r.id
        JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest
        WHERE r.name = $2 AND t.name = $3";

    /// As `BY_DIGEST`, with the bytes left out if there are more than `$1`.
    BY_DIGEST_WITHIN = "SELECT m.digest, m.media_type, m.size, CASE WHEN m.size <= $1 THEN m.bytes END
        FROM repositories r
        JOIN manifests m ON m.repository = r.id
        WHERE r.name = $2 AND m.digest = $3";

    /// As `BY_DIGEST`, and whether a promise costs nothing.
    PROMISE_BY_DIGEST = concat!(
        "SELECT m.digest, m.media_type, m.bytes,
            CASE WHEN m.lease_until >= now_ms() + $1 THEN 1 ", referenced!(), "
        FROM repositories r
        JOIN manifests m ON m.repository = r.id
        WHERE r.name = $2 AND m.digest = $3"
    );

    /// Hits no row if the manifest went in the meantime; then nothing may be promised.
    GRANT = "UPDATE manifests SET lease_until = now_ms() + $1 WHERE repository = $2 AND digest = $3";

    /// Whether something refers to a manifest; none if it is not here.
    REFERENCED = concat!(
        "SELECT CASE ", referenced!(), " FROM manifests m WHERE m.repository = $1 AND m.digest = $2"
    );

    EXISTS = "SELECT 1 FROM manifests WHERE repository = $1 AND digest = $2";

    /// Hits no row if the manifest is here already: it can only be the same.
    INSERT = "INSERT INTO manifests (repository, digest, media_type, size, subject, artifact_type,
            lease_until, pushed_at, pushed_by, annotations, bytes)
        VALUES ($1, $2, $3, $4, $5, $6, now_ms() + $7, now_ms(), $8, $9, $10)
        ON CONFLICT (repository, digest) DO NOTHING";

    INSERT_BLOB = "INSERT INTO manifest_blobs (repository, manifest, digest, target) VALUES ($1, $2, $3, $4)";

    INSERT_CHILD =
        "INSERT INTO manifest_children (repository, manifest, digest, target) VALUES ($1, $2, $3, $4)";

    /// The manifest is here now: indexes that were pushed before it get their foreign key.
    LINK_WAITING = "UPDATE manifest_children SET target = digest
        WHERE repository = $1 AND digest = $2 AND target IS NULL";

    /// The indexes that list a manifest.
    REFERRING = "SELECT manifest FROM manifest_children WHERE repository = $1 AND target = $2
        UNION ALL
        SELECT manifest FROM manifest_children WHERE repository = $1 AND digest = $2 AND target IS NULL
        LIMIT $3";

    REFERRERS = "SELECT m.digest, m.media_type, m.size, m.artifact_type, m.annotations
        FROM repositories r
        JOIN manifests m ON m.repository = r.id
        WHERE r.name = $1 AND m.subject = $2 AND m.digest > $3
        ORDER BY m.digest LIMIT $4";

    REFERRERS_OF_TYPE = "SELECT m.digest, m.media_type, m.size, m.artifact_type, m.annotations
        FROM repositories r
        JOIN manifests m ON m.repository = r.id
        WHERE r.name = $1 AND m.subject = $2 AND m.artifact_type = $3 AND m.digest > $4
        ORDER BY m.digest LIMIT $5";

    ALL_REFERRERS = "SELECT digest FROM manifests WHERE repository = $1 AND subject = $2 ORDER BY digest";

    DELETE_BLOBS = "DELETE FROM manifest_blobs WHERE repository = $1 AND manifest = $2 RETURNING digest, target";

    DELETE_CHILDREN = "DELETE FROM manifest_children WHERE repository = $1 AND manifest = $2 RETURNING digest";

    /// Fails by its foreign keys if a tag or an index came to refer to the manifest.
    DELETE = "DELETE FROM manifests WHERE repository = $1 AND digest = $2";

    TRASH = "INSERT INTO trash_manifests (repository, digest, media_type, size, subject, artifact_type,
            pushed_at, pushed_by, deleted_at, deleted_by, purge_at, annotations, bytes)
        SELECT repository, digest, media_type, size, subject, artifact_type,
            pushed_at, pushed_by, now_ms(), $1, now_ms() + $2, annotations, bytes
        FROM manifests WHERE repository = $3 AND digest = $4
        ON CONFLICT (repository, digest) DO UPDATE SET
            pushed_at = excluded.pushed_at, pushed_by = excluded.pushed_by,
            deleted_at = excluded.deleted_at, deleted_by = excluded.deleted_by, purge_at = excluded.purge_at
        RETURNING size";

    IS_TRASHED = "SELECT 1 FROM trash_manifests WHERE repository = $1 AND digest = $2";

    /// Tells those that were not kept yet. Blobs that are not here can not be kept.
    TRASH_BLOBS = "INSERT INTO trash_blobs (repository, manifest, digest)
        SELECT m.repository, m.manifest, m.digest
        FROM manifest_blobs m JOIN digests d ON d.digest = m.digest
        WHERE m.repository = $1 AND m.manifest = $2
        ON CONFLICT (repository, manifest, digest) DO NOTHING
        RETURNING digest";
}

/// As `EXISTS`, with the row locked.
pub(crate) const LOCK: Statement = Statement::each(EXISTS.sqlite, postgres::LOCK_MANIFEST);

/// What removing the last reference does, of some manifests; tells those to which nothing refers.
pub(crate) const GRANT_UNREFERENCED: Statement =
    Statement::each(sqlite::GRANT_UNREFERENCED_MANIFESTS, postgres::GRANT_UNREFERENCED_MANIFESTS);

/// As `IS_TRASHED`, with the row locked.
pub(crate) const LOCK_IS_TRASHED: Statement = Statement::each(IS_TRASHED.sqlite, postgres::LOCK_IS_TRASHED);
