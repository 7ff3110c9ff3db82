//! Migration 6: repositories in which nothing is are found again.
//!
//! `look_at`: when a collector looks whether anything is in the repository; null while it has a manifest. Those that were
//! there before and have no manifest are looked at by the next collection.

pub(super) const SQL: &str = r"
ALTER TABLE repositories ADD COLUMN look_at BIGINT;
CREATE INDEX repositories_look ON repositories (look_at) WHERE look_at IS NOT NULL;
UPDATE repositories SET look_at = 0 WHERE listed = 0 AND purge_at IS NULL;
";
