//! Migration 8: namespaces, and whether a repository is public.
//!
//! `namespace` is null in rows that no program of this version has placed yet: those of before, and those that an older program
//! makes beside this one. Each start and each collection places them, a bounded number at a time, so that this migration changes
//! no row and holds its locks for a moment.

pub(super) const SQL: &str = r"
CREATE TABLE namespaces (
    id         {id},
    name       {text} NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    kept       BIGINT NOT NULL DEFAULT 0 CHECK (kept IN (0, 1))
);

ALTER TABLE repositories ADD COLUMN namespace BIGINT REFERENCES namespaces (id) ON DELETE RESTRICT;
ALTER TABLE repositories ADD COLUMN public BIGINT NOT NULL DEFAULT 0 CHECK (public IN (0, 1));
CREATE INDEX repositories_namespace ON repositories (namespace, name);
CREATE INDEX repositories_public ON repositories (name) WHERE listed = 1 AND public = 1;
";
