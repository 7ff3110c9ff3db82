use super::{of_each, statements};

statements! {
    /// Two requests may make a namespace at once: the second one waits for the first and finds its row.
    MAKE = "INSERT INTO namespaces (name, created_at) VALUES ($1, now_ms()) ON CONFLICT (name) DO NOTHING";

    IS_THERE = "SELECT 1 FROM namespaces WHERE name = $1";

    /// Repositories after a name that are in no namespace yet. Those of one are together.
    UNPLACED = "SELECT id, name FROM repositories WHERE namespace IS NULL AND name > $1
        ORDER BY name LIMIT $2";

    /// Namespaces after a number, and whether each may go: nothing is in it, and it is not kept. For each namespace one look
    /// into an index.
    UNUSED_AFTER = "SELECT n.id, n.kept = 0 AND (SELECT 1 FROM repositories r WHERE r.namespace = n.id LIMIT 1) IS NULL
        FROM namespaces n WHERE n.id > $1 ORDER BY n.id LIMIT $2";
}

of_each! {
    /// As `MAKE`, for many, in the order given.
    MAKE_ALL;

    /// Puts repositories into namespaces: the first list has the name of a namespace for each repository of the second one. On
    /// PostgreSQL a repository that another transaction has locked is passed over.
    PLACE;

    /// A namespace that may go. PostgreSQL locks it, and waits for a repository that is being made in it at this moment; one
    /// that is made later waits for this transaction, finds no namespace, and is made again.
    LOCK_UNKEPT;

    /// Those of some namespaces that may go. PostgreSQL locks them, but for those in which a repository is being made.
    LOCK_UNUSED;

    /// Those of some namespaces in which nothing is, and their names.
    UNUSED_OF;

    /// Removes those of some namespaces that are locked and in which nothing is.
    REMOVE_UNUSED;
}
