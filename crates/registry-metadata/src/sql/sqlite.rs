//! Statements that only SQLite understands: those that take a list of values, as JSON.

use super::texts;

/// Those of a list of locations to which no row leads.
macro_rules! unknown {
    () => {
        "FROM json_each($1) f
        WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.location = f.value)
            AND NOT EXISTS (SELECT 1 FROM uploads u WHERE u.location = f.value)
            AND NOT EXISTS (SELECT 1 FROM reclaim r WHERE r.location = f.value)"
    };
}

texts! {
    UNKNOWN = concat!("SELECT f.value ", unknown!());

    NOTE_UNKNOWN = concat!(
        "INSERT INTO unknown_objects (location, first_seen, last_seen) SELECT f.value, now_ms(), now_ms() ", unknown!(), "
        ON CONFLICT (location) DO UPDATE SET last_seen = excluded.last_seen
        RETURNING location, last_seen - first_seen"
    );

    DIGESTS_OF = "SELECT d.object, d.digest FROM json_each($1) f JOIN digests d ON d.object = f.value";

    NAMES_OF = "SELECT r.id, r.name FROM json_each($1) f JOIN repositories r ON r.id = f.value";

    PAGE_OF_RANGES = "SELECT r.name FROM json_each($1) g
        CROSS JOIN repositories r ON r.id IN (
            SELECT w.id FROM repositories w
            WHERE w.listed = 1 AND w.name >= substr(g.value, 1, instr(g.value, ' ') - 1)
                AND w.name < substr(g.value, instr(g.value, ' ') + 1) AND w.name > $2
            ORDER BY w.name LIMIT $3)
        ORDER BY r.name LIMIT $3";

    WITH_BLOB_AMONG = "SELECT r.name FROM json_each($1) g
        CROSS JOIN repositories r ON r.name = g.value
        JOIN repository_blobs b ON b.repository = r.id AND b.digest = $2
        JOIN digests d ON d.digest = b.digest
        JOIN objects o ON o.id = d.object
        WHERE o.bad = 0 AND r.purge_at IS NULL
        LIMIT $3";

    MAKE_ALL = "INSERT INTO namespaces (name, created_at) SELECT f.value, now_ms() FROM json_each($1) f WHERE true
        ON CONFLICT (name) DO NOTHING";

    /// Looks at the rows of the list, and not at all that are in no namespace.
    PLACE = "UPDATE repositories SET namespace = n.id
        FROM json_each($1) f CROSS JOIN namespaces n
        WHERE n.name = f.value AND repositories.id = ($2 ->> f.key) AND COALESCE(repositories.namespace, 0) = 0";

    LOCK_UNKEPT = "SELECT id FROM namespaces WHERE name = $1 AND kept = 0";

    LOCK_UNUSED = "SELECT n.id FROM json_each($1) f CROSS JOIN namespaces n ON n.id = f.value WHERE n.kept = 0";

    UNUSED_OF = "SELECT n.id, n.name FROM json_each($1) f CROSS JOIN namespaces n ON n.id = f.value
        WHERE NOT EXISTS (SELECT 1 FROM repositories r WHERE r.namespace = n.id)";

    REMOVE_UNUSED = "DELETE FROM namespaces WHERE id IN (SELECT f.value FROM json_each($1) f)
        AND NOT EXISTS (SELECT 1 FROM repositories r WHERE r.namespace = namespaces.id)";

    LOCK_MAYBE_EMPTY = "SELECT name FROM repositories WHERE id = $1 AND purge_at IS NULL AND look_at <= now_ms()";

    LOCK_DUE_REPOSITORY = "SELECT name FROM repositories
        WHERE id = $1 AND purge_at IS NOT NULL AND purge_at <= now_ms()";

    ENQUEUE_ALL = "INSERT INTO gc_queue (kind, repository, digest, due_at, reason)
        SELECT $1, $2, f.value, now_ms() + $3, $4 FROM json_each($5) f WHERE true
        ON CONFLICT (kind, repository, digest) DO UPDATE SET due_at = excluded.due_at, reason = excluded.reason";

    LOCK_ENTRY = "SELECT reason FROM gc_queue
        WHERE kind = $1 AND repository = $2 AND digest = $3 AND due_at <= now_ms()";

    LOCK_TRASHED_TAG = "SELECT 1 FROM trash_tags
        WHERE repository = $1 AND name = $2 AND digest = $3 AND purge_at <= now_ms()";

    LOCK_DUE_MANIFEST = "SELECT 1 FROM trash_manifests WHERE repository = $1 AND digest = $2 AND purge_at <= now_ms()";

    LOCK_TAGS = "SELECT t.name, t.digest FROM tags t
        WHERE t.repository = (SELECT r.id FROM repositories r WHERE r.name = $1)
            AND t.name IN (SELECT f.value FROM json_each($2) f)
        ORDER BY t.name";

    REMEMBER_DELETED = "INSERT INTO tag_history (repository, name, digest, at, actor)
        SELECT $1, f.value, NULL, now_ms(), $2 FROM json_each($3) f";

    TRASH_ALL = "INSERT INTO trash_tags (repository, name, digest, deleted_at, deleted_by, purge_at)
        SELECT $1, f.value, $2, now_ms(), $3, now_ms() + $4 FROM json_each($5) f WHERE true
        ON CONFLICT (repository, name, digest) DO UPDATE SET
            deleted_at = excluded.deleted_at, deleted_by = excluded.deleted_by, purge_at = excluded.purge_at";

    GRANT_UNREFERENCED_BLOBS = "UPDATE repository_blobs AS b SET lease_until = now_ms() + $1
        WHERE b.repository = $2 AND b.digest IN (SELECT f.value FROM json_each($3) f)
            AND NOT EXISTS (SELECT 1 FROM manifest_blobs m
                WHERE m.repository = b.repository AND m.target = b.digest)
            AND NOT EXISTS (SELECT 1 FROM manifest_blobs m
                WHERE m.repository = b.repository AND m.digest = b.digest AND m.target IS NULL)
        RETURNING digest";

    GRANT_UNREFERENCED_MANIFESTS = "UPDATE manifests AS m SET lease_until = now_ms() + $1
        WHERE m.repository = $2 AND m.digest IN (SELECT f.value FROM json_each($3) f)
            AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest)
            AND NOT EXISTS (SELECT 1 FROM manifest_children c
                WHERE c.repository = m.repository AND c.target = m.digest)
            AND NOT EXISTS (SELECT 1 FROM manifest_children c
                WHERE c.repository = m.repository AND c.digest = m.digest AND c.target IS NULL)
            AND NOT EXISTS (SELECT 1 FROM manifests s
                WHERE s.repository = m.repository AND s.digest = m.subject)
        RETURNING digest";

    COUNT = "INSERT INTO quota_digests (prefix, digest, uses, holds, size)
        SELECT $1, more.value ->> 0, more.value ->> 1, more.value ->> 2, COALESCE(more.value ->> 3,
            (SELECT o.size FROM digests d JOIN objects o ON o.id = d.object WHERE d.digest = more.value ->> 0), 0)
        FROM json_each($2) more WHERE true
        ON CONFLICT (prefix, digest) DO UPDATE SET
            uses = quota_digests.uses + excluded.uses, holds = quota_digests.holds + excluded.holds
        RETURNING digest, uses, holds, size";

    FORGET = "DELETE FROM quota_digests
        WHERE prefix = $1 AND digest IN (SELECT f.value FROM json_each($2) f) AND uses <= 0 AND holds <= 0";
}
