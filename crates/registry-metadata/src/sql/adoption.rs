//! Taking over the content of another registry.

use super::statements;

statements! {
    BEGIN = "INSERT INTO adoption (one, began_at) VALUES (1, now_ms()) ON CONFLICT (one) DO NOTHING";

    /// A program that does not know of migration 13 would take pushes to what is adopted.
    EXPECT_PROGRAM = "UPDATE store SET oldest_binary = 13 WHERE one = 1 AND oldest_binary < 13";

    STATE = "SELECT began_at, ran_at, finished_at FROM adoption WHERE one = 1";

    RAN = "UPDATE adoption SET ran_at = $1 WHERE one = 1";

    FINISH = "UPDATE adoption SET finished_at = now_ms() WHERE one = 1 AND finished_at IS NULL";

    /// Bytes that were given up while they were the other registry's.
    LET_RECLAIM = "UPDATE reclaim SET not_before = now_ms() + $1 WHERE not_before = $2";

    /// Bytes that are to stay, since that registry will need them.
    KEEP_BYTES = "DELETE FROM reclaim WHERE location >= $1 AND location < $2";

    REPOSITORY = "SELECT id, adopted FROM repositories WHERE name = $1";

    ADOPT = "UPDATE repositories SET adopted = 1 WHERE id = $1";

    RELEASE = "UPDATE repositories SET adopted = NULL WHERE id IN
        (SELECT a.id FROM repositories a WHERE a.adopted = 1 AND a.name > '' ORDER BY a.name LIMIT $1)";

    PAGE = "SELECT name FROM repositories WHERE adopted = 1 AND name > $1 ORDER BY name LIMIT $2";

    TAGS = "SELECT t.name, t.digest, t.updated_at
        FROM repositories r JOIN tags t ON t.repository = r.id
        WHERE r.name = $1 AND t.name > $2 ORDER BY t.name LIMIT $3";

    MANIFESTS = "SELECT m.digest
        FROM repositories r JOIN manifests m ON m.repository = r.id
        WHERE r.name = $1 AND m.digest > $2 ORDER BY m.digest LIMIT $3";

    BLOBS = "SELECT b.digest
        FROM repositories r JOIN repository_blobs b ON b.repository = r.id
        WHERE r.name = $1 AND b.digest > $2 ORDER BY b.digest LIMIT $3";

    /// Unless the digest has bytes already.
    TAKE_OBJECT = "INSERT INTO objects (location, size, created_at)
        SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), now_ms()
        WHERE NOT EXISTS (SELECT 1 FROM digests d WHERE d.digest = $3)
        ON CONFLICT (location) DO NOTHING";

    TAKE_DIGEST = "INSERT INTO digests (digest, object)
        SELECT CAST($1 AS TEXT), o.id FROM objects o WHERE o.location = $2
        ON CONFLICT (digest) DO NOTHING";

    PUSHED_AT = "UPDATE manifests SET pushed_at = $1 WHERE repository = $2 AND digest = $3";
}
