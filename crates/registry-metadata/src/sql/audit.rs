//! Comparing rows with bytes.

use super::{of_each, statements};

statements! {
    MARK = "SELECT mark FROM store WHERE one = 1";

    /// Grows with time, and always.
    RAISE_MARK = "UPDATE store SET mark = CASE
            WHEN now_ms() > mark AND now_ms() > $1 THEN now_ms()
            WHEN mark >= $1 THEN mark + 1
            ELSE $1 + 1 END
        WHERE one = 1 RETURNING mark";

    /// One of those who ask at once finds a row.
    CLAIM_SWEEP = "UPDATE store SET swept_at = now_ms() WHERE one = 1 AND swept_at <= now_ms() - $1
        RETURNING swept_at";

    FORGET_UNKNOWN = "DELETE FROM unknown_objects WHERE location = $1";

    FORGET_UNSEEN = "DELETE FROM unknown_objects WHERE last_seen < now_ms() - $1";

    OBJECTS_AFTER = "SELECT id, location, size, bad FROM objects WHERE location > $1 ORDER BY location LIMIT $2";

    MARK_GOOD = "UPDATE objects SET bad = 0 WHERE location = $1";

    /// What is read when a database is verified: each is a page of rows after a number and a text, whose last two columns are
    /// texts that must be what they were before they were stored, if they are there.
    LOCATIONS_AFTER = "SELECT CAST(0 AS BIGINT), location, location, NULL FROM objects
        WHERE CAST($1 AS BIGINT) = 0 AND location > $2 ORDER BY location LIMIT $3";

    DIGESTS_AFTER = "SELECT CAST(0 AS BIGINT), digest, digest, NULL FROM digests
        WHERE CAST($1 AS BIGINT) = 0 AND digest > $2 ORDER BY digest LIMIT $3";

    NAMES_AFTER = "SELECT CAST(0 AS BIGINT), name, name, NULL FROM repositories
        WHERE CAST($1 AS BIGINT) = 0 AND purge_at IS NULL AND name > $2 ORDER BY name LIMIT $3";

    MANIFEST_KEYS_AFTER = "SELECT repository, digest, digest, media_type FROM manifests
        WHERE (repository, digest) > ($1, $2) ORDER BY repository, digest LIMIT $3";

    TAG_KEYS_AFTER = "SELECT repository, name, name, digest FROM tags
        WHERE (repository, name) > ($1, $2) ORDER BY repository, name LIMIT $3";

    /// Manifests after a repository's number and a digest: those that have `$4` bytes together, and the first one in any
    /// case.
    MANIFESTS_WITHIN = "WITH page AS (
            SELECT repository, digest,
                SUM(size) OVER (ORDER BY repository, digest) AS sum, ROW_NUMBER() OVER (ORDER BY repository, digest) AS place
            FROM (SELECT k.repository, k.digest, k.size FROM manifests k
                WHERE (k.repository, k.digest) > ($1, $2) ORDER BY k.repository, k.digest LIMIT $3) AS keys)
        SELECT m.repository, m.digest, m.media_type, m.bytes
        FROM page p JOIN manifests m ON m.repository = p.repository AND m.digest = p.digest
        WHERE p.sum <= CAST($4 AS BIGINT) OR p.place = 1
        ORDER BY m.repository, m.digest";
}

of_each! {
    /// Those of many locations to which no row leads, at one moment.
    UNKNOWN;

    /// Notes those of many objects to which no row leads, and says of each for how long that has been so.
    NOTE_UNKNOWN;

    /// The digests of many objects.
    DIGESTS_OF;

    /// The names of many repositories.
    NAMES_OF;
}
