//! Migration 5: what repositories hold beside what their manifests refer to.
//!
//! What was counted before is forgotten: the first server that starts counts all of it, as it does for a new quota.

pub(super) const SQL: &str = r"
ALTER TABLE quotas ADD COLUMN held BIGINT NOT NULL DEFAULT 0;
ALTER TABLE quota_digests ADD COLUMN holds BIGINT NOT NULL DEFAULT 0;

CREATE TABLE quota_uploads (
    prefix {text} NOT NULL PRIMARY KEY,
    bytes  BIGINT NOT NULL
){clustered};

DELETE FROM quota_digests;
DELETE FROM quotas;
";
