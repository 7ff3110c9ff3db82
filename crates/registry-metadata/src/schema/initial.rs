//! Migration 1.
//!
//! Large columns come last in a table, so that reading the others does not walk over them.
//!
//! A second index over a clustered table, if it begins with the same column as the key, has all the table's columns in
//! it. SQLite has no statistics here and believes that a repository has ten rows; reading those from the table seems
//! cheaper to it than an index that leads back to the table. It also does that where foreign keys are checked. A test
//! looks at every plan.

pub(super) const SQL: &str = r"
CREATE TABLE store (
    one           BIGINT PRIMARY KEY CHECK (one = 1),
    id            {text},
    format        BIGINT NOT NULL,
    oldest_binary BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    mark          BIGINT NOT NULL DEFAULT 0
){clustered};

CREATE TABLE repositories (
    id         {id},
    name       {text} NOT NULL UNIQUE,
    listed     BIGINT NOT NULL DEFAULT 0 CHECK (listed IN (0, 1)),
    created_at BIGINT NOT NULL,
    purge_at   BIGINT
);
CREATE INDEX repositories_listed ON repositories (name) WHERE listed = 1;
CREATE INDEX repositories_purge ON repositories (purge_at) WHERE purge_at IS NOT NULL;

CREATE TABLE objects (
    id         {row},
    location   {text} NOT NULL UNIQUE,
    size       BIGINT NOT NULL,
    bad        BIGINT NOT NULL DEFAULT 0 CHECK (bad IN (0, 1)),
    created_at BIGINT NOT NULL
);

CREATE TABLE digests (
    digest {text} NOT NULL PRIMARY KEY,
    object BIGINT NOT NULL REFERENCES objects (id) ON DELETE RESTRICT
){clustered};
CREATE INDEX digests_object ON digests (object);

CREATE TABLE repository_blobs (
    repository  BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    digest      {text} NOT NULL REFERENCES digests (digest) ON DELETE RESTRICT,
    lease_until BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (repository, digest)
){clustered};
CREATE INDEX repository_blobs_digest ON repository_blobs (digest, repository);

CREATE TABLE manifests (
    repository    BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    digest        {text} NOT NULL,
    media_type    {text} NOT NULL,
    size          BIGINT NOT NULL,
    subject       {text},
    artifact_type {text},
    lease_until   BIGINT NOT NULL,
    pushed_at     BIGINT NOT NULL,
    pushed_by     {text},
    expires_after BIGINT,
    annotations   {text},
    bytes         {bytes} NOT NULL,
    PRIMARY KEY (repository, digest)
);
CREATE INDEX manifests_subject ON manifests (repository, subject, digest) WHERE subject IS NOT NULL;
CREATE INDEX manifests_subject_type ON manifests (repository, subject, artifact_type, digest)
    WHERE subject IS NOT NULL;

CREATE TABLE manifest_blobs (
    repository BIGINT NOT NULL,
    manifest   {text} NOT NULL,
    digest     {text} NOT NULL,
    target     {text} CHECK (target = digest),
    PRIMARY KEY (repository, manifest, digest),
    FOREIGN KEY (repository, manifest) REFERENCES manifests (repository, digest) ON DELETE RESTRICT,
    FOREIGN KEY (repository, target) REFERENCES repository_blobs (repository, digest) ON DELETE RESTRICT
){clustered};
CREATE INDEX manifest_blobs_target ON manifest_blobs (repository, target, digest);

CREATE TABLE manifest_children (
    repository BIGINT NOT NULL,
    manifest   {text} NOT NULL,
    digest     {text} NOT NULL,
    target     {text} CHECK (target = digest),
    PRIMARY KEY (repository, manifest, digest),
    FOREIGN KEY (repository, manifest) REFERENCES manifests (repository, digest) ON DELETE RESTRICT,
    FOREIGN KEY (repository, target) REFERENCES manifests (repository, digest) ON DELETE RESTRICT
){clustered};
CREATE INDEX manifest_children_target ON manifest_children (repository, target, digest);

CREATE TABLE tags (
    repository BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    name       {text} NOT NULL,
    digest     {text} NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (repository, name),
    FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE RESTRICT
){clustered};
CREATE INDEX tags_digest ON tags (repository, digest, updated_at);

CREATE TABLE tag_history (
    id         {row},
    repository BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    name       {text} NOT NULL,
    digest     {text},
    at         BIGINT NOT NULL,
    actor      {text}
);
CREATE INDEX tag_history_name ON tag_history (repository, name, id);

CREATE TABLE uploads (
    id            {text} NOT NULL PRIMARY KEY,
    repository    BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    location      {text} NOT NULL UNIQUE,
    algorithm     {text} NOT NULL,
    epoch         BIGINT NOT NULL DEFAULT 0,
    offset_bytes  BIGINT NOT NULL DEFAULT 0,
    started_at    BIGINT NOT NULL,
    touched_at    BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL DEFAULT 0,
    state         {bytes}
){clustered};
CREATE INDEX uploads_touched ON uploads (touched_at);
CREATE INDEX uploads_repository ON uploads (repository);

CREATE TABLE gc_queue (
    kind       {text} NOT NULL CHECK (kind IN ('blob', 'manifest', 'digest', 'expiry', 'label')),
    repository BIGINT NOT NULL,
    digest     {text} NOT NULL,
    due_at     BIGINT NOT NULL,
    reason     {text} NOT NULL,
    PRIMARY KEY (kind, repository, digest)
){clustered};
CREATE INDEX gc_queue_due ON gc_queue (due_at);

CREATE TABLE reclaim (
    location     {text} NOT NULL PRIMARY KEY,
    not_before   BIGINT NOT NULL,
    reason       {text} NOT NULL,
    upload_state {bytes}
){clustered};
CREATE INDEX reclaim_not_before ON reclaim (not_before);

CREATE TABLE unknown_objects (
    location   {text} NOT NULL PRIMARY KEY,
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL
){clustered};
CREATE INDEX unknown_objects_seen ON unknown_objects (last_seen);

CREATE TABLE trash_manifests (
    repository    BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    digest        {text} NOT NULL,
    media_type    {text} NOT NULL,
    size          BIGINT NOT NULL,
    subject       {text},
    artifact_type {text},
    pushed_at     BIGINT NOT NULL,
    pushed_by     {text},
    deleted_at    BIGINT NOT NULL,
    deleted_by    {text},
    purge_at      BIGINT NOT NULL,
    annotations   {text},
    bytes         {bytes} NOT NULL,
    PRIMARY KEY (repository, digest)
);
CREATE INDEX trash_manifests_purge ON trash_manifests (purge_at);
CREATE INDEX trash_manifests_subject ON trash_manifests (repository, subject, digest) WHERE subject IS NOT NULL;

CREATE TABLE trash_blobs (
    repository BIGINT NOT NULL,
    manifest   {text} NOT NULL,
    digest     {text} NOT NULL REFERENCES digests (digest) ON DELETE RESTRICT,
    PRIMARY KEY (repository, manifest, digest),
    FOREIGN KEY (repository, manifest) REFERENCES trash_manifests (repository, digest) ON DELETE RESTRICT
){clustered};
CREATE INDEX trash_blobs_digest ON trash_blobs (digest);

CREATE TABLE trash_tags (
    repository BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    name       {text} NOT NULL,
    digest     {text} NOT NULL,
    deleted_at BIGINT NOT NULL,
    deleted_by {text},
    purge_at   BIGINT NOT NULL,
    PRIMARY KEY (repository, name, digest)
){clustered};
CREATE INDEX trash_tags_purge ON trash_tags (purge_at);
CREATE INDEX trash_tags_digest ON trash_tags (repository, digest);

CREATE TABLE outbox (
    id         {id},
    at         BIGINT NOT NULL,
    repository {text} NOT NULL,
    kind       {text} NOT NULL,
    payload    {text} NOT NULL
);

CREATE TABLE usage_deltas (
    id         {row},
    repository BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    at         BIGINT NOT NULL,
    blobs      BIGINT NOT NULL,
    bytes      BIGINT NOT NULL
);
CREATE INDEX usage_deltas_repository ON usage_deltas (repository);
";
