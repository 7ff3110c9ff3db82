use super::statements;

statements! {
    STORE_ID = "SELECT id FROM store WHERE one = 1";

    /// Only the first one to bind hits a row.
    BIND_STORE = "UPDATE store SET id = $1 WHERE one = 1 AND id IS NULL";

    HAS_OBJECTS = "SELECT EXISTS (SELECT 1 FROM objects WHERE id > 0)";

    ID = "SELECT id FROM repositories WHERE name = $1";

    /// Two requests may create a repository at once: the second one finds the row of the first.
    CREATE = "INSERT INTO repositories (name, created_at) VALUES ($1, now_ms()) ON CONFLICT (name) DO NOTHING";

    /// Hits a row only the first time, so that pushes to one repository do not meet in this row.
    LIST = "UPDATE repositories SET listed = 1 WHERE id = $1 AND listed = 0";

    /// PostgreSQL locks the row first: a manifest may be on its way in.
    UNLIST = "UPDATE repositories SET listed = 0
        WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository = $1)";

    PAGE_AFTER = "SELECT name FROM repositories WHERE listed = 1 AND name > $1 ORDER BY name LIMIT $2";

    /// What is left of a range after a name within it.
    RANGE_AFTER = "SELECT name FROM repositories
        WHERE listed = 1 AND name > $1 AND name < $2 ORDER BY name LIMIT $3";

    /// A range from its beginning.
    RANGE_FROM = "SELECT name FROM repositories
        WHERE listed = 1 AND name >= $1 AND name < $2 ORDER BY name LIMIT $3";

    IS_LISTED = "SELECT 1 FROM repositories WHERE listed = 1 AND name = $1";
}
