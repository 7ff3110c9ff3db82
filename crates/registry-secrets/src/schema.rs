use registry_database::{Migration, Schema};

/// The table of secrets: what says that a process has the right keys. What is sealed is in the tables of other owners.
pub const SCHEMA: Schema = Schema {
    owner: "secrets",
    migrations: &[
        // A binary that knows of no secrets opens none.
        Migration { number: 11, oldest_binary: 1, sql: SQL },
    ],
    volatile: &[],
    content: &[],
};

/// `secret_checks`: for each key that ever sealed something here, a value that is known and sealed under it. The table is locked by what
/// adds a row.
const SQL: &str = r"
CREATE TABLE secret_checks (
    key_id        {text} NOT NULL PRIMARY KEY,
    sealed        {bytes} NOT NULL,
    created_at_ms BIGINT NOT NULL
){clustered};
";
