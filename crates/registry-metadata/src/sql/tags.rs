//! Code that changes a tag does it by a function of `logic::tags`, or of the module `tags` of either database: they know the rule
//! about immutable tags. A test looks that no other module has the statements.

use registry_database::Statement;

use super::{of_each, postgres, sqlite, statements};

statements! {
    PAGE = "SELECT t.name
        FROM repositories r
        JOIN tags t ON t.repository = r.id
        WHERE r.name = $1 AND t.name > $2
        ORDER BY t.name LIMIT $3";

    DIGEST = "SELECT digest FROM tags WHERE repository = $1 AND name = $2";

    SET = "INSERT INTO tags (repository, name, digest, updated_at) VALUES ($1, $2, $3, now_ms())
        ON CONFLICT (repository, name) DO UPDATE SET
            digest = excluded.digest, updated_at = excluded.updated_at";

    /// For an immutable tag: hits no row if it leads to something else.
    SET_ONCE = "INSERT INTO tags (repository, name, digest, updated_at) VALUES ($1, $2, $3, now_ms())
        ON CONFLICT (repository, name) DO UPDATE SET updated_at = excluded.updated_at
        WHERE tags.digest = excluded.digest";

    OF_REPOSITORY = "SELECT name, digest FROM tags WHERE repository = $1 AND name > $2 ORDER BY name LIMIT $3";

    /// When a tag was set, of one that another registry has set.
    DATE = "UPDATE tags SET updated_at = $1 WHERE repository = $2 AND name = $3";

    DELETE = "DELETE FROM tags WHERE repository = $1 AND name = $2 RETURNING digest";

    DELETE_OF_MANIFEST = "DELETE FROM tags WHERE repository = $1 AND digest = $2 RETURNING name";

    /// No digest: the tag was deleted.
    REMEMBER = "INSERT INTO tag_history (repository, name, digest, at, actor) VALUES ($1, $2, $3, now_ms(), $4)";

    /// Removes the changes of a tag that come before the `$3` newest.
    FORGET_OLDEST = "DELETE FROM tag_history WHERE repository = $1 AND name = $2 AND id <=
        (SELECT h.id FROM tag_history h WHERE h.repository = $1 AND h.name = $2 ORDER BY h.id DESC LIMIT 1 OFFSET $3)";

    /// Only as it was seen: a tag that was set since then stays.
    DELETE_AS_SEEN = "DELETE FROM tags WHERE repository = $1 AND name = $2 AND digest = $3 AND updated_at = $4";
}

/// Names and digests of those of some tags that are here, locked.
pub(crate) const LOCK: Statement = Statement::each(sqlite::LOCK_TAGS, postgres::LOCK_TAGS);

of_each! {
    /// Adds to the history that tags were deleted.
    REMEMBER_DELETED;

    /// A tag that is deleted twice in the window is restorable until the end of the later one.
    TRASH_ALL;
}
