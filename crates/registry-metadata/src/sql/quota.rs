//! What repositories with a quota hold.
//!
//! PostgreSQL appends ` FOR KEY SHARE OF r FOR UPDATE OF q` to `HOLDING`: whoever changes what is counted has the counter
//! for itself until it commits.

use registry_database::Statement;

use super::{of_each, postgres, statements};

/// Digests that are counted for the prefix `$1`, with their sizes, a row for each use and each hold. What was deleted as a
/// whole does not count.
macro_rules! counted_in_prefix {
    () => {
        "SELECT m.digest AS digest, 1 AS uses, 0 AS holds, m.size AS size
            FROM repositories r
            JOIN manifests m ON m.repository = r.id
            WHERE r.purge_at IS NULL AND substr(r.name, 1, length(CAST($1 AS TEXT))) = $1
        UNION ALL
        SELECT b.target, 1, 0, o.size
            FROM repositories r
            JOIN manifest_blobs b ON b.repository = r.id
            JOIN digests d ON d.digest = b.target
            JOIN objects o ON o.id = d.object
            WHERE r.purge_at IS NULL AND substr(r.name, 1, length(CAST($1 AS TEXT))) = $1
        UNION ALL
        SELECT b.digest, 0, 1, o.size
            FROM repositories r
            JOIN repository_blobs b ON b.repository = r.id
            JOIN digests d ON d.digest = b.digest
            JOIN objects o ON o.id = d.object
            WHERE r.purge_at IS NULL AND substr(r.name, 1, length(CAST($1 AS TEXT))) = $1
        UNION ALL
        SELECT t.digest, 0, 1, t.size
            FROM repositories r
            JOIN trash_manifests t ON t.repository = r.id
            WHERE r.purge_at IS NULL AND substr(r.name, 1, length(CAST($1 AS TEXT))) = $1
        UNION ALL
        SELECT t.digest, 0, 1, o.size
            FROM repositories r
            JOIN trash_blobs t ON t.repository = r.id
            JOIN digests d ON d.digest = t.digest
            JOIN objects o ON o.id = d.object
            WHERE r.purge_at IS NULL AND substr(r.name, 1, length(CAST($1 AS TEXT))) = $1"
    };
}

macro_rules! tags_in_prefix {
    () => {
        "SELECT COUNT(*)
            FROM repositories r
            JOIN tags t ON t.repository = r.id
            WHERE r.purge_at IS NULL AND substr(r.name, 1, length(CAST($1 AS TEXT))) = $1"
    };
}

macro_rules! uploads_in_prefix {
    () => {
        "SELECT CAST(COALESCE(SUM(u.offset_bytes), 0) AS BIGINT)
            FROM repositories r
            JOIN uploads u ON u.repository = r.id
            WHERE r.purge_at IS NULL AND substr(r.name, 1, length(CAST($1 AS TEXT))) = $1"
    };
}

statements! {
    /// The quotas that hold for a repository, unless it was deleted.
    HOLDING = "SELECT q.prefix, q.bytes, q.tags, q.held
        FROM repositories r
        JOIN quotas q ON q.prefix <= r.name AND substr(r.name, 1, length(q.prefix)) = q.prefix
        WHERE r.id = $1 AND r.purge_at IS NULL
        ORDER BY q.prefix";

    USAGE = "SELECT q.bytes, q.tags, q.held + COALESCE(u.bytes, 0)
        FROM quotas q LEFT JOIN quota_uploads u ON u.prefix = q.prefix
        WHERE q.prefix = $1";

    /// Whether a manifest refers to a digest, or is it.
    IS_USED = "SELECT 1 FROM quota_digests WHERE prefix = $1 AND digest = $2 AND uses > 0";

    ADD = "UPDATE quotas SET bytes = bytes + $1, held = held + $2, tags = tags + $3 WHERE prefix = $4";

    /// Adds to what sessions have saved. The first one makes the row.
    ADD_UPLOADS = "INSERT INTO quota_uploads (prefix, bytes) VALUES ($1, $2)
        ON CONFLICT (prefix) DO UPDATE SET bytes = quota_uploads.bytes + excluded.bytes
        RETURNING bytes";

    UPLOADS = "SELECT bytes FROM quota_uploads WHERE prefix = $1";

    PREFIXES = "SELECT prefix FROM quotas ORDER BY prefix";

    BEGIN_COUNTING = "INSERT INTO quotas (prefix, bytes, tags, held) VALUES ($1, 0, 0, 0)";

    END_COUNTING = "DELETE FROM quotas WHERE prefix = $1";

    FORGET_DIGESTS = "DELETE FROM quota_digests WHERE prefix = $1";

    FORGET_UPLOADS = "DELETE FROM quota_uploads WHERE prefix = $1";

    COUNT_PREFIX = concat!(
        "INSERT INTO quota_digests (prefix, digest, uses, holds, size)
        SELECT CAST($1 AS TEXT), digest, SUM(uses), SUM(holds), MAX(size)
        FROM (", counted_in_prefix!(), ") AS counted GROUP BY digest"
    );

    TAGS_OF_PREFIX = tags_in_prefix!();

    UPLOADS_OF_PREFIX = uploads_in_prefix!();

    /// The digests of the prefix are counted anew, the tags by how many there are more.
    TOTAL = "UPDATE quotas SET tags = tags + $1,
            bytes = (SELECT CAST(COALESCE(SUM(d.size), 0) AS BIGINT) FROM quota_digests d
                WHERE d.prefix = $2 AND d.uses > 0),
            held = (SELECT CAST(COALESCE(SUM(d.size), 0) AS BIGINT) FROM quota_digests d
                WHERE d.prefix = $2 AND d.uses <= 0)
        WHERE prefix = $2";

    /// A repository goes with all that it has.
    UNCOUNT_REPOSITORY = "UPDATE quota_digests SET
            uses = uses
                - (SELECT COUNT(*) FROM manifests m WHERE m.repository = $1 AND m.digest = quota_digests.digest)
                - (SELECT COUNT(*) FROM manifest_blobs b WHERE b.repository = $1 AND b.target = quota_digests.digest),
            holds = holds
                - (SELECT COUNT(*) FROM repository_blobs b
                    WHERE b.repository = $1 AND b.digest = quota_digests.digest)
                - (SELECT COUNT(*) FROM trash_manifests t
                    WHERE t.repository = $1 AND t.digest = quota_digests.digest)
                - (SELECT COUNT(*) FROM trash_blobs t
                    WHERE t.digest = quota_digests.digest AND t.repository = $1)
        WHERE prefix = $2 AND digest IN (
            SELECT m.digest FROM manifests m WHERE m.repository = $1
            UNION ALL
            SELECT b.digest FROM repository_blobs b WHERE b.repository = $1
            UNION ALL
            SELECT t.digest FROM trash_manifests t WHERE t.repository = $1
            UNION ALL
            SELECT t.digest FROM trash_blobs t WHERE t.repository = $1)";

    FORGET_UNUSED = "DELETE FROM quota_digests WHERE prefix = $1 AND uses <= 0 AND holds <= 0";

    /// A repository comes with all that it has.
    COUNT_REPOSITORY = "INSERT INTO quota_digests (prefix, digest, uses, holds, size)
        SELECT CAST($1 AS TEXT), digest, SUM(uses), SUM(holds), MAX(size) FROM (
            SELECT m.digest AS digest, 1 AS uses, 0 AS holds, m.size AS size
                FROM manifests m WHERE m.repository = $2
            UNION ALL
            SELECT b.target, 1, 0, o.size
                FROM manifest_blobs b
                JOIN digests d ON d.digest = b.target
                JOIN objects o ON o.id = d.object
                WHERE b.repository = $2
            UNION ALL
            SELECT b.digest, 0, 1, o.size
                FROM repository_blobs b
                JOIN digests d ON d.digest = b.digest
                JOIN objects o ON o.id = d.object
                WHERE b.repository = $2
            UNION ALL
            SELECT t.digest, 0, 1, t.size FROM trash_manifests t WHERE t.repository = $2
            UNION ALL
            SELECT t.digest, 0, 1, o.size
                FROM trash_blobs t
                JOIN digests d ON d.digest = t.digest
                JOIN objects o ON o.id = d.object
                WHERE t.repository = $2) AS counted
        WHERE digest IS NOT NULL GROUP BY digest
        ON CONFLICT (prefix, digest) DO UPDATE SET
            uses = quota_digests.uses + excluded.uses, holds = quota_digests.holds + excluded.holds";

    TAGS_OF_REPOSITORY = "SELECT COUNT(*) FROM tags WHERE repository = $1";

    UPLOADS_OF_REPOSITORY =
        "SELECT CAST(COALESCE(SUM(offset_bytes), 0) AS BIGINT) FROM uploads WHERE repository = $1";

    /// What is counted for a prefix and what is there, at one moment: bytes, tags, what is held, what sessions have saved,
    /// and how many digests are not counted as they are used and held.
    AUDIT = concat!(
        "WITH counted AS (
            SELECT digest, SUM(uses) AS uses, SUM(holds) AS holds, MAX(size) AS size
            FROM (", counted_in_prefix!(), ") AS part GROUP BY digest)
        SELECT q.bytes, (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM counted WHERE uses > 0),
            q.tags, (", tags_in_prefix!(), "),
            q.held, (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM counted WHERE uses <= 0),
            COALESCE((SELECT u.bytes FROM quota_uploads u WHERE u.prefix = $1), 0), (", uploads_in_prefix!(), "),
            (SELECT COUNT(*) FROM (
                SELECT digest FROM (SELECT digest, uses, holds, size FROM counted
                    EXCEPT SELECT c.digest, c.uses, c.holds, c.size FROM quota_digests c WHERE c.prefix = $1) AS missing
                UNION
                SELECT digest FROM (SELECT c.digest, c.uses, c.holds, c.size FROM quota_digests c WHERE c.prefix = $1
                    EXCEPT SELECT digest, uses, holds, size FROM counted) AS more) AS wrong)
        FROM quotas q WHERE q.prefix = $1"
    );
}

/// As `HOLDING`, with the counters locked, and the repository against its deletion.
pub(crate) const LOCK_HOLDING: Statement = Statement::each(HOLDING.sqlite, postgres::LOCK_HOLDING);

of_each! {
    /// Counts digests by so many uses and holds more, or less: a list in JSON of digest, uses, holds and size, in the order of
    /// locks. Of a blob the size need not be known; nor need it be of what is counted already.
    COUNT;

    /// After the last use and the last hold.
    FORGET;
}
