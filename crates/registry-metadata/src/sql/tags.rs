//! Code that changes a tag does it by a function of the module `tags` of either database, which knows the rule about immutable
//! tags. A test looks that no other module has the statements.

use super::statements;

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

    DELETE = "DELETE FROM tags WHERE repository = $1 AND name = $2 RETURNING digest";

    DELETE_OF_MANIFEST = "DELETE FROM tags WHERE repository = $1 AND digest = $2 RETURNING name";

    /// No digest: the tag was deleted.
    REMEMBER = "INSERT INTO tag_history (repository, name, digest, at, actor) VALUES ($1, $2, $3, now_ms(), $4)";

    /// Removes the changes of a tag that come before the `$3` newest.
    FORGET_OLDEST = "DELETE FROM tag_history WHERE repository = $1 AND name = $2 AND id <=
        (SELECT h.id FROM tag_history h WHERE h.repository = $1 AND h.name = $2 ORDER BY h.id DESC LIMIT 1 OFFSET $3)";

    /// A tag that is deleted twice in the window is restorable until the end of the later one.
    TRASH = "INSERT INTO trash_tags (repository, name, digest, deleted_at, deleted_by, purge_at)
        VALUES ($1, $2, $3, now_ms(), $4, now_ms() + $5)
        ON CONFLICT (repository, name, digest) DO UPDATE SET
            deleted_at = excluded.deleted_at, deleted_by = excluded.deleted_by, purge_at = excluded.purge_at";
}
