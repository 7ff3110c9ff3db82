//! What repositories with a quota hold.
//!
//! PostgreSQL appends ` FOR KEY SHARE OF r FOR UPDATE OF q` to `HOLDING`: whoever changes what is counted has the counter
//! for itself until it commits.

use super::statements;

/// Digests that are counted for the prefix `$1`, with their sizes, as often as they are used. What was deleted as a whole
/// does not count.
macro_rules! used_in_prefix {
    () => {
        "SELECT m.digest AS digest, m.size AS size
            FROM repositories r
            JOIN manifests m ON m.repository = r.id
            WHERE r.purge_at IS NULL AND substr(r.name, 1, length(CAST($1 AS TEXT))) = $1
        UNION ALL
        SELECT b.target, o.size
            FROM repositories r
            JOIN manifest_blobs b ON b.repository = r.id
            JOIN digests d ON d.digest = b.target
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

statements! {
    /// The quotas that hold for a repository, unless it was deleted.
    HOLDING = "SELECT q.prefix, q.bytes, q.tags
        FROM repositories r
        JOIN quotas q ON q.prefix <= r.name AND substr(r.name, 1, length(q.prefix)) = q.prefix
        WHERE r.id = $1 AND r.purge_at IS NULL
        ORDER BY q.prefix";

    USAGE = "SELECT bytes, tags FROM quotas WHERE prefix = $1";

    IS_COUNTED = "SELECT 1 FROM quota_digests WHERE prefix = $1 AND digest = $2";

    /// Of a blob the size need not be known.
    COUNT = "INSERT INTO quota_digests (prefix, digest, uses, size)
        VALUES ($1, $2, $3, COALESCE($4,
            (SELECT o.size FROM digests d JOIN objects o ON o.id = d.object WHERE d.digest = $2)))
        ON CONFLICT (prefix, digest) DO UPDATE SET uses = quota_digests.uses + excluded.uses
        RETURNING uses, size";

    UNCOUNT = "UPDATE quota_digests SET uses = uses - $1 WHERE prefix = $2 AND digest = $3";

    /// After the last use.
    FORGET = "DELETE FROM quota_digests WHERE prefix = $1 AND digest = $2 AND uses <= 0 RETURNING size";

    ADD = "UPDATE quotas SET bytes = bytes + $1, tags = tags + $2 WHERE prefix = $3";

    PREFIXES = "SELECT prefix FROM quotas ORDER BY prefix";

    BEGIN_COUNTING = "INSERT INTO quotas (prefix, bytes, tags) VALUES ($1, 0, 0)";

    END_COUNTING = "DELETE FROM quotas WHERE prefix = $1";

    FORGET_DIGESTS = "DELETE FROM quota_digests WHERE prefix = $1";

    COUNT_PREFIX = concat!(
        "INSERT INTO quota_digests (prefix, digest, uses, size)
        SELECT CAST($1 AS TEXT), digest, COUNT(*), MAX(size) FROM (", used_in_prefix!(), ") AS used GROUP BY digest"
    );

    TAGS_OF_PREFIX = tags_in_prefix!();

    /// The digests of the prefix are counted anew, the tags by how many there are more.
    TOTAL = "UPDATE quotas SET tags = tags + $1, bytes =
            (SELECT CAST(COALESCE(SUM(d.size), 0) AS BIGINT) FROM quota_digests d WHERE d.prefix = $2)
        WHERE prefix = $2";

    /// A repository goes with all that it has.
    UNCOUNT_REPOSITORY = "UPDATE quota_digests SET uses = uses
            - (SELECT COUNT(*) FROM manifests m WHERE m.repository = $1 AND m.digest = quota_digests.digest)
            - (SELECT COUNT(*) FROM manifest_blobs b WHERE b.repository = $1 AND b.target = quota_digests.digest)
        WHERE prefix = $2 AND digest IN (
            SELECT m.digest FROM manifests m WHERE m.repository = $1
            UNION ALL
            SELECT b.target FROM manifest_blobs b WHERE b.repository = $1 AND b.target IS NOT NULL)";

    FORGET_UNUSED = "DELETE FROM quota_digests WHERE prefix = $1 AND uses <= 0";

    /// A repository comes with all that it has.
    COUNT_REPOSITORY = "INSERT INTO quota_digests (prefix, digest, uses, size)
        SELECT CAST($1 AS TEXT), digest, COUNT(*), MAX(size) FROM (
            SELECT m.digest AS digest, m.size AS size FROM manifests m WHERE m.repository = $2
            UNION ALL
            SELECT b.target, o.size
                FROM manifest_blobs b
                JOIN digests d ON d.digest = b.target
                JOIN objects o ON o.id = d.object
                WHERE b.repository = $2) AS used
        WHERE digest IS NOT NULL GROUP BY digest
        ON CONFLICT (prefix, digest) DO UPDATE SET uses = quota_digests.uses + excluded.uses";

    TAGS_OF_REPOSITORY = "SELECT COUNT(*) FROM tags WHERE repository = $1";

    /// What is counted for a prefix and what is there, at one moment: bytes, tags, and how many digests are not counted as
    /// they are used.
    AUDIT = concat!(
        "WITH used AS (
            SELECT digest, COUNT(*) AS uses, MAX(size) AS size FROM (", used_in_prefix!(), ") AS part GROUP BY digest)
        SELECT q.bytes, (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM used), q.tags, (", tags_in_prefix!(), "),
            (SELECT COUNT(*) FROM (
                SELECT digest FROM (SELECT digest, uses, size FROM used
                    EXCEPT SELECT c.digest, c.uses, c.size FROM quota_digests c WHERE c.prefix = $1) AS missing
                UNION
                SELECT digest FROM (SELECT c.digest, c.uses, c.size FROM quota_digests c WHERE c.prefix = $1
                    EXCEPT SELECT digest, uses, size FROM used) AS more) AS wrong)
        FROM quotas q WHERE q.prefix = $1"
    );
}
