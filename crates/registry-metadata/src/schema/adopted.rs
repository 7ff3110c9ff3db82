//! Migration 13: content of another registry whose bytes stay where that registry keeps them.
//!
//! `adopted` is 1 while that registry is the one that changes the repository, and null otherwise: this column comes with the
//! repository's row in the read that every change makes. The row of `adoption` is there from the first import on.

pub(super) const SQL: &str = r"
ALTER TABLE repositories ADD COLUMN adopted BIGINT CHECK (adopted = 1);
CREATE INDEX repositories_adopted ON repositories (name) WHERE adopted = 1;

CREATE TABLE adoption (
    one         BIGINT PRIMARY KEY CHECK (one = 1),
    began_at    BIGINT NOT NULL,
    ran_at      BIGINT,
    finished_at BIGINT
){clustered};
";
