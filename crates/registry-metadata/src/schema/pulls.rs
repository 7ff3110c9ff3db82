//! Migration 2.

pub(super) const SQL: &str = r"
CREATE TABLE pulls (
    repository BIGINT NOT NULL,
    digest     {text} NOT NULL,
    pulled_at  BIGINT NOT NULL,
    PRIMARY KEY (repository, digest)
){clustered};
";
