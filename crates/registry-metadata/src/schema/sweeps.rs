//! Migration 3.

pub(super) const SQL: &str = r"
ALTER TABLE store ADD COLUMN swept_at BIGINT NOT NULL DEFAULT 0;
";
