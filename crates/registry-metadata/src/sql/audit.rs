//! Comparing rows with bytes.

use super::statements;

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

    IS_KNOWN = "SELECT 1 FROM objects WHERE location = $1
        UNION ALL SELECT 1 FROM uploads WHERE location = $1
        UNION ALL SELECT 1 FROM reclaim WHERE location = $1
        LIMIT 1";

    NOTE_UNKNOWN = "INSERT INTO unknown_objects (location, first_seen, last_seen)
        VALUES ($1, now_ms(), now_ms())
        ON CONFLICT (location) DO UPDATE SET last_seen = excluded.last_seen
        RETURNING last_seen - first_seen";

    FORGET_UNKNOWN = "DELETE FROM unknown_objects WHERE location = $1";

    FORGET_UNSEEN = "DELETE FROM unknown_objects WHERE last_seen < now_ms() - $1";

    OBJECTS_AFTER = "SELECT id, location, size, bad FROM objects WHERE location > $1 ORDER BY location LIMIT $2";

    DIGESTS_OF = "SELECT digest FROM digests WHERE object = $1";

    MARK_GOOD = "UPDATE objects SET bad = 0 WHERE location = $1";

    /// What is read when a database is verified: each is a page of rows after a key, whose last columns are texts that
    /// must be what they were before they were stored.
    LOCATIONS_AFTER = "SELECT CAST(0 AS BIGINT), location, location FROM objects WHERE CAST($1 AS BIGINT) = 0 AND location > $2
        ORDER BY location LIMIT $3";

    DIGESTS_AFTER = "SELECT CAST(0 AS BIGINT), digest, digest FROM digests WHERE CAST($1 AS BIGINT) = 0 AND digest > $2 ORDER BY digest LIMIT $3";

    NAMES_AFTER = "SELECT CAST(0 AS BIGINT), name, name FROM repositories
        WHERE CAST($1 AS BIGINT) = 0 AND purge_at IS NULL AND name > $2 ORDER BY name LIMIT $3";

    MANIFEST_KEYS_AFTER = "SELECT repository, digest, digest, media_type FROM manifests
        WHERE (repository, digest) > ($1, $2) ORDER BY repository, digest LIMIT $3";

    TAG_KEYS_AFTER = "SELECT repository, name, name, digest FROM tags
        WHERE (repository, name) > ($1, $2) ORDER BY repository, name LIMIT $3";

    MANIFESTS_AFTER = "SELECT m.repository, m.digest, m.media_type, m.bytes
        FROM manifests m WHERE (m.repository, m.digest) > ($1, $2)
        ORDER BY m.repository, m.digest LIMIT $3";
}
