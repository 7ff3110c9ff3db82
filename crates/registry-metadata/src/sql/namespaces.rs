use super::{of_each, statements};

statements! {
    /// Two requests may make a namespace at once: the second one waits for the first and finds its row.
    MAKE = "INSERT INTO namespaces (name, created_at) VALUES ($1, now_ms()) ON CONFLICT (name) DO NOTHING";

    /// Repositories after a name that are in no namespace yet. Those of one are together.
    UNPLACED = "SELECT id, name FROM repositories WHERE namespace IS NULL AND name > $1
        ORDER BY name LIMIT $2";

    REMOVE_UNUSED = "DELETE FROM namespaces WHERE id = $1
        AND NOT EXISTS (SELECT 1 FROM repositories WHERE namespace = $1)";
}

of_each! {
    /// Puts some repositories into a namespace.
    PLACE;

    /// A namespace that may go. PostgreSQL locks it, unless a repository is being made in it at this moment; one that is made
    /// later waits for this transaction, finds no namespace, and is made again.
    LOCK_UNKEPT;
}
