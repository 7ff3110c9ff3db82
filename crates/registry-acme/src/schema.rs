use registry_database::{Migration, Schema};

/// The tables of certificates.
///
/// A certificate and the account that ordered it are journalled; orders and what the authority asks meanwhile are work, which begins anew
/// where they are lost.
pub const SCHEMA: Schema = Schema {
    owner: "acme",
    migrations: &[
        // A binary that knows of no such certificates shows those of its files.
        Migration { number: 14, oldest_binary: 1, sql: SQL },
    ],
    volatile: &["acme_orders", "acme_challenges"],
    content: &[],
};

/// `acme_accounts`, `acme_certificates`: `id` is random, so that what is sealed belongs to its row. `chain` is PEM; `credentials` and `key`
/// are sealed.
///
/// `acme_orders`: which node orders the certificate of a host until when, how often that failed in a row, and before when it is not tried
/// again. `acme_challenges`: what the authority wants to see of a host.
const SQL: &str = r"
CREATE TABLE acme_accounts (
    id          BIGINT NOT NULL PRIMARY KEY,
    directory   {text} NOT NULL UNIQUE,
    credentials {bytes} NOT NULL
);

CREATE TABLE acme_certificates (
    id            BIGINT NOT NULL PRIMARY KEY,
    host          {text} NOT NULL UNIQUE,
    directory     {text} NOT NULL,
    chain         {text} NOT NULL,
    key           {bytes} NOT NULL,
    not_before_ms BIGINT NOT NULL,
    not_after_ms  BIGINT NOT NULL
);

CREATE TABLE acme_orders (
    host             {text} NOT NULL PRIMARY KEY,
    claimed_until_ms BIGINT NOT NULL,
    failures         BIGINT NOT NULL,
    not_before_ms    BIGINT NOT NULL
){clustered};

CREATE TABLE acme_challenges (
    token    {text} NOT NULL PRIMARY KEY,
    host     {text} NOT NULL,
    answer   {text} NOT NULL,
    until_ms BIGINT NOT NULL
){clustered};
";
