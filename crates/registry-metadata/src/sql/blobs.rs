use registry_database::Statement;

use super::{postgres, sqlite, statements};

statements! {
    READ = "SELECT o.location, o.size
        FROM repositories r
        JOIN repository_blobs b ON b.repository = r.id
        JOIN digests d ON d.digest = b.digest
        JOIN objects o ON o.id = d.object
        WHERE r.name = $1 AND b.digest = $2 AND o.bad = 0";

    /// As `READ`, and whether a promise costs nothing: enough is left of the lease, or something refers to the blob. The
    /// cases are tried in order, so a hot layer with a fresh lease is not looked up in its manifests.
    PROMISE = "SELECT o.location, o.size,
            CASE
            WHEN b.lease_until >= now_ms() + $1 THEN 1
            WHEN EXISTS (SELECT 1 FROM manifest_blobs m
                WHERE m.repository = b.repository AND m.target = b.digest) THEN 1
            WHEN EXISTS (SELECT 1 FROM manifest_blobs m
                WHERE m.repository = b.repository AND m.digest = b.digest AND m.target IS NULL) THEN 1
            ELSE 0 END
        FROM repositories r
        JOIN repository_blobs b ON b.repository = r.id
        JOIN digests d ON d.digest = b.digest
        JOIN objects o ON o.id = d.object
        WHERE r.name = $2 AND b.digest = $3 AND o.bad = 0";

    /// Hits no row if the blob went in the meantime; then nothing may be promised.
    GRANT = "UPDATE repository_blobs SET lease_until = now_ms() + $1 WHERE repository = $2 AND digest = $3";

    OBJECT = "SELECT o.location, o.size
        FROM digests d JOIN objects o ON o.id = d.object WHERE d.digest = $1 AND o.bad = 0";

    OBJECT_TO_REPLACE = "SELECT o.id, o.location, o.bad
        FROM digests d JOIN objects o ON o.id = d.object WHERE d.digest = $1";

    INSERT_OBJECT = "INSERT INTO objects (location, size, created_at) VALUES ($1, $2, now_ms()) RETURNING id";

    INSERT_DIGEST = "INSERT INTO digests (digest, object) VALUES ($1, $2)";

    REPLACE_OBJECT = "UPDATE objects SET location = $1, size = $2, bad = 0, created_at = now_ms() WHERE id = $3";

    MARK_BAD = "UPDATE objects SET bad = 1 WHERE location = $1";

    /// A blob that is here already gets a new lease: its pusher was told that it is here.
    LINK = "INSERT INTO repository_blobs (repository, digest, lease_until, created_at)
        VALUES ($1, $2, now_ms() + $3, now_ms())
        ON CONFLICT (repository, digest) DO UPDATE SET lease_until = excluded.lease_until";

    /// The blob is here now: manifests that were pushed before it get their foreign key.
    LINK_WAITING = "UPDATE manifest_blobs SET target = digest
        WHERE repository = $1 AND digest = $2 AND target IS NULL";

    /// Whether the blob is in the repository, and if so, whether its bytes are bad.
    LINKED = "SELECT o.bad
        FROM repository_blobs b
        JOIN digests d ON d.digest = b.digest
        JOIN objects o ON o.id = d.object
        WHERE b.repository = $1 AND b.digest = $2";

    IS_LINKED = "SELECT 1 FROM repository_blobs WHERE repository = $1 AND digest = $2";

    REFERRING = "SELECT manifest FROM manifest_blobs WHERE repository = $1 AND target = $2
        UNION ALL
        SELECT manifest FROM manifest_blobs WHERE repository = $1 AND digest = $2 AND target IS NULL
        LIMIT $3";

    /// Fails by its foreign key if a manifest came to refer to the blob.
    UNLINK = "DELETE FROM repository_blobs WHERE repository = $1 AND digest = $2";
}

/// As `IS_LINKED`, with the row locked.
pub(crate) const LOCK: Statement = Statement::each(IS_LINKED.sqlite, postgres::LOCK_BLOB);

/// What removing the last reference does, of some blobs; tells those to which nothing refers.
pub(crate) const GRANT_UNREFERENCED: Statement =
    Statement::each(sqlite::GRANT_UNREFERENCED_BLOBS, postgres::GRANT_UNREFERENCED_BLOBS);
