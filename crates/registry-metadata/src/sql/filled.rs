//! A database with some thousand rows in each table, for tests of what planners make of the statements: over an empty one, they
//! may take any way.

/// Written once for SQLite and PostgreSQL. Half of everything is in the first repository, the rest in two hundred others.
pub(crate) const FILL: &str = "
CREATE TABLE numbers (i BIGINT NOT NULL PRIMARY KEY, repository BIGINT NOT NULL, digest TEXT NOT NULL);
INSERT INTO numbers
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
    SELECT i, CASE WHEN i % 2 = 0 THEN 1 ELSE i % 200 + 2 END, 'sha256:' || i FROM n;

INSERT INTO namespaces (name, created_at) SELECT 'team-' || i, i FROM numbers;
INSERT INTO repositories (name, namespace, listed, created_at, purge_at, look_at)
    SELECT 'team-' || (i % 20) || '/app-' || i, (SELECT s.id FROM namespaces s WHERE s.name = 'team-' || (i % 1500 + 1)),
        CASE WHEN i % 10 = 0 THEN 0 ELSE 1 END, i,
        CASE WHEN i % 50 = 0 THEN i END, CASE WHEN i % 10 = 0 THEN i END
    FROM numbers ORDER BY i LIMIT 3000;
INSERT INTO objects (location, size, created_at) SELECT 'blobs/' || i, i, i FROM numbers;
INSERT INTO digests (digest, object) SELECT 'sha256:' || o.size, o.id FROM objects o;
INSERT INTO repository_blobs (repository, digest, lease_until, created_at) SELECT repository, digest, i, i FROM numbers;
INSERT INTO manifests (repository, digest, media_type, size, subject, artifact_type, lease_until, pushed_at, expires_after, bytes)
    SELECT repository, digest, 'application/x', 2, CASE WHEN i % 5 = 0 THEN 'sha256:' || (i % 40) END, 'application/y-' || (i % 7), i, i,
        CASE WHEN i % 9 = 0 THEN 60 END, '{}'
    FROM numbers;
INSERT INTO manifest_blobs (repository, manifest, digest, target) SELECT repository, digest, digest, digest FROM numbers;
INSERT INTO manifest_children (repository, manifest, digest, target) SELECT repository, digest, digest, digest FROM numbers;
INSERT INTO tags (repository, name, digest, updated_at) SELECT repository, 'v' || i, digest, i FROM numbers;
INSERT INTO tag_history (repository, name, digest, at) SELECT repository, 'v' || i, digest, i FROM numbers;
INSERT INTO uploads (id, repository, location, algorithm, started_at, touched_at)
    SELECT 'upload-' || i, repository, 'uploads/' || i, 'sha256', i, i FROM numbers;
INSERT INTO gc_queue (kind, repository, digest, due_at, reason)
    SELECT CASE i % 3 WHEN 0 THEN 'blob' WHEN 1 THEN 'manifest' ELSE 'digest' END, repository, digest, i, 'test' FROM numbers;
INSERT INTO reclaim (location, not_before, reason) SELECT 'blobs/gone-' || i, i, 'test' FROM numbers;
INSERT INTO unknown_objects (location, first_seen, last_seen) SELECT 'blobs/unknown-' || i, i, 4000000000000 + i FROM numbers;
INSERT INTO trash_manifests (repository, digest, media_type, size, subject, pushed_at, deleted_at, purge_at, bytes)
    SELECT repository, 'sha256:gone-' || i, 'application/x', 2, CASE WHEN i % 5 = 0 THEN 'sha256:' || (i % 40) END, i, i, i, '{}'
    FROM numbers;
INSERT INTO trash_blobs (repository, manifest, digest) SELECT repository, 'sha256:gone-' || i, digest FROM numbers;
INSERT INTO trash_tags (repository, name, digest, deleted_at, purge_at)
    SELECT repository, 'v' || i, 'sha256:gone-' || i, i, i FROM numbers;
INSERT INTO usage_deltas (repository, at, blobs, bytes) SELECT repository, i, 1, i FROM numbers;
INSERT INTO pulls (repository, digest, pulled_at) SELECT repository, digest, i FROM numbers;
INSERT INTO quotas (prefix, bytes, tags) SELECT 'team-' || i || '/', i, i FROM numbers ORDER BY i LIMIT 20;
INSERT INTO quota_digests (prefix, digest, uses, size) SELECT 'team-' || (i % 20) || '/', digest, 1, i FROM numbers;
INSERT INTO quota_uploads (prefix, bytes) SELECT 'team-' || i || '/', i FROM numbers ORDER BY i LIMIT 20;
DROP TABLE numbers;
ANALYZE;
";
