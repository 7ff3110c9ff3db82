//! Migration 4: what repositories hold for which there is a quota.

pub(super) const SQL: &str = r"
CREATE TABLE quotas (
    prefix {text} NOT NULL PRIMARY KEY,
    bytes  BIGINT NOT NULL,
    tags   BIGINT NOT NULL
){clustered};

CREATE TABLE quota_digests (
    prefix {text} NOT NULL,
    digest {text} NOT NULL,
    uses   BIGINT NOT NULL,
    size   BIGINT NOT NULL,
    PRIMARY KEY (prefix, digest)
){clustered};
";
