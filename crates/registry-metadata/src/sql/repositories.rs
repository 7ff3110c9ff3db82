use registry_database::Statement;

use super::{adoption, of_each, postgres, statements};

statements! {
    STORE_ID = "SELECT id FROM store WHERE one = 1";

    /// Only the first one to bind hits a row.
    BIND_STORE = "UPDATE store SET id = $1 WHERE one = 1 AND id IS NULL";

    ID = "SELECT id FROM repositories WHERE name = $1";

    /// When it was made, and whether every client may pull from it.
    FACTS = "SELECT created_at, public FROM repositories WHERE name = $1";

    /// Two requests may create a repository at once: the second one finds the row of the first. Where a collector has removed the
    /// namespace meanwhile, the foreign key fails, and the transaction is run again.
    CREATE = "INSERT INTO repositories (name, created_at, look_at, namespace)
        VALUES ($1, now_ms(), now_ms() + $2, COALESCE((SELECT n.id FROM namespaces n WHERE n.name = $3), 0))
        ON CONFLICT (name) DO NOTHING";

    /// Hits a row only the first time, so that pushes to one repository do not meet in this row.
    LIST = "UPDATE repositories SET listed = 1 WHERE id = $1 AND listed = 0";

    /// PostgreSQL locks the row first: a manifest may be on its way in.
    UNLIST = "UPDATE repositories SET listed = 0, look_at = now_ms() + $1
        WHERE id = $2 AND (SELECT 1 FROM manifests WHERE repository = $2 ORDER BY digest LIMIT 1) IS NULL";

    /// Repositories that may be empty, and whose time has come.
    MAYBE_EMPTY = "SELECT id, name FROM repositories WHERE look_at <= now_ms() ORDER BY look_at LIMIT $1";

    /// Whether anything is in a repository, or can be restored there.
    HAS_CONTENT = "SELECT 1 FROM manifests WHERE repository = $1
        UNION ALL SELECT 1 FROM repository_blobs WHERE repository = $1
        UNION ALL SELECT 1 FROM uploads WHERE repository = $1
        UNION ALL SELECT 1 FROM trash_manifests WHERE repository = $1
        UNION ALL SELECT 1 FROM trash_tags WHERE repository = $1
        LIMIT 1";

    /// Whether it was made `$2` or longer ago.
    IS_OLD = "SELECT 1 FROM repositories WHERE id = $1 AND created_at <= now_ms() - $2";

    /// Fails by a foreign key if anything came into it.
    REMOVE_EMPTY = "DELETE FROM repositories WHERE id = $1";

    /// One that has a manifest is looked at again when the last one is gone.
    LOOK_AGAIN = "UPDATE repositories SET look_at = CASE WHEN listed = 1 THEN NULL ELSE now_ms() + $1 END
        WHERE id = $2";

    PAGE_AFTER = "SELECT name FROM repositories WHERE listed = 1 AND name > $1 ORDER BY name LIMIT $2";

    PUBLIC_AFTER = "SELECT name FROM repositories
        WHERE listed = 1 AND public = 1 AND name > $1 ORDER BY name LIMIT $2";

    /// Every one that has a blob.
    WITH_BLOB = "SELECT r.name
        FROM digests d
        JOIN objects o ON o.id = d.object
        JOIN repository_blobs b ON b.digest = d.digest
        JOIN repositories r ON r.id = b.repository
        WHERE d.digest = $1 AND o.bad = 0 AND r.purge_at IS NULL
        LIMIT $2";

    HAS_MANIFESTS = "SELECT 1 FROM manifests WHERE repository = $1 ORDER BY digest LIMIT 1";
}

/// As `adoption::REPOSITORY`, with the row locked against deletions.
pub(crate) const LOCK_TO_CHANGE: Statement =
    Statement::each(adoption::REPOSITORY.sqlite, postgres::LOCK_REPOSITORY_TO_CHANGE);

of_each! {
    /// Of some ranges of names, each two texts with a space between them, what is in the catalog.
    PAGE_OF_RANGES;

    /// Of some names, those that have a blob.
    WITH_BLOB_AMONG;

    /// The name of a repository that may be empty, if no transaction has locked it and nothing is on its way into it.
    LOCK_MAYBE_EMPTY;
}
