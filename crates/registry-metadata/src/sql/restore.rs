//! What was deleted and comes back, and what goes for good with its repository.
//!
//! PostgreSQL appends ` FOR UPDATE` to `TRASHED_MANIFEST`.

use registry_database::Statement;

use super::{postgres, sqlite, statements};

statements! {
    TRASHED_TAGS = "SELECT name, digest, deleted_at, deleted_by, purge_at FROM trash_tags
        WHERE repository = $1 AND (name, digest) > ($2, $3) ORDER BY name, digest LIMIT $4";

    TRASHED_MANIFESTS = "SELECT digest, deleted_at, deleted_by, purge_at FROM trash_manifests
        WHERE repository = $1 AND digest > $2 ORDER BY digest LIMIT $3";

    /// What the tag led to when it was deleted last. There are as many rows as it led to different things.
    TAG_LED_TO = "SELECT digest, deleted_at FROM trash_tags WHERE repository = $1 AND name = $2";

    TAGS_OF = "SELECT name FROM trash_tags WHERE repository = $1 AND digest = $2 ORDER BY name";

    TRASHED_MANIFEST = "SELECT media_type, bytes FROM trash_manifests WHERE repository = $1 AND digest = $2";

    TRASHED_BLOBS = "SELECT digest FROM trash_blobs WHERE repository = $1 AND manifest = $2 ORDER BY digest";

    TRASHED_REFERRERS = "SELECT digest FROM trash_manifests
        WHERE repository = $1 AND subject = $2 ORDER BY digest";

    RESTORE_MANIFEST = "INSERT INTO manifests (repository, digest, media_type, size, subject, artifact_type,
            lease_until, pushed_at, pushed_by, annotations, bytes)
        SELECT repository, digest, media_type, size, subject, artifact_type,
            now_ms() + $1, pushed_at, pushed_by, annotations, bytes
        FROM trash_manifests WHERE repository = $2 AND digest = $3";

    HISTORY = "SELECT id, digest, at, actor FROM tag_history
        WHERE repository = $1 AND name = $2 AND id < $3 ORDER BY id DESC LIMIT $4";

    /// Aside goes everything of it at once: all else hangs on its number.
    SET_ASIDE = "UPDATE repositories SET name = $1, listed = 0, look_at = NULL, purge_at = now_ms() + $2
        WHERE id = $3";

    DELETED = "SELECT id, name, purge_at FROM repositories WHERE purge_at IS NOT NULL ORDER BY purge_at";

    BRING_BACK = "UPDATE repositories SET name = $1, purge_at = NULL, look_at = 0,
            listed = CASE WHEN (SELECT 1 FROM manifests m WHERE m.repository = $2 ORDER BY m.digest LIMIT 1) IS NULL THEN 0 ELSE 1 END
        WHERE id = $2";

    DUE = "SELECT id, name FROM repositories
        WHERE purge_at IS NOT NULL AND purge_at <= now_ms() ORDER BY purge_at LIMIT $1";

    POSTPONE = "UPDATE repositories SET purge_at = now_ms() + $1 WHERE id = $2";

    /// The window of so many deleted tags is over now, of those that come first.
    END_TAGS = "UPDATE trash_tags SET purge_at = now_ms() WHERE (repository, name, digest) IN
        (SELECT t.repository, t.name, t.digest FROM trash_tags t
            WHERE t.purge_at > now_ms() ORDER BY t.purge_at LIMIT $1)";

    END_TAGS_OF = "UPDATE trash_tags SET purge_at = now_ms() WHERE (repository, name, digest) IN
        (SELECT t.repository, t.name, t.digest FROM trash_tags t
            WHERE t.repository = $1 AND t.purge_at > now_ms() LIMIT $2)";

    END_MANIFESTS = "UPDATE trash_manifests SET purge_at = now_ms() WHERE (repository, digest) IN
        (SELECT t.repository, t.digest FROM trash_manifests t
            WHERE t.purge_at > now_ms() ORDER BY t.purge_at LIMIT $1)";

    END_MANIFESTS_OF = "UPDATE trash_manifests SET purge_at = now_ms() WHERE (repository, digest) IN
        (SELECT t.repository, t.digest FROM trash_manifests t
            WHERE t.repository = $1 AND t.purge_at > now_ms() LIMIT $2)";

    END_REPOSITORIES = "UPDATE repositories SET purge_at = now_ms() WHERE id IN
        (SELECT d.id FROM repositories d WHERE d.purge_at > now_ms() ORDER BY d.purge_at LIMIT $1)";

    END_REPOSITORY = "UPDATE repositories SET purge_at = now_ms() WHERE id = $1 AND purge_at > now_ms()";

    SOME_MANIFESTS = "SELECT digest FROM manifests WHERE repository = $1 LIMIT $2";

    /// Those of a repository that was deleted as a whole, which had none that was immutable then.
    DELETE_TAGS = "DELETE FROM tags WHERE repository = $1 AND digest = $2";

    /// All of it goes, so who refers to it goes later.
    UNLINK_CHILD = "UPDATE manifest_children SET target = NULL WHERE repository = $1 AND target = $2";

    SOME_BLOBS = "SELECT digest FROM repository_blobs WHERE repository = $1 ORDER BY digest LIMIT $2";

    SOME_UPLOADS = "SELECT id FROM uploads WHERE repository = $1 LIMIT $2";

    SOME_TRASHED_MANIFESTS = "SELECT digest FROM trash_manifests WHERE repository = $1 LIMIT $2";

    SOME_TRASHED_TAGS = "SELECT name, digest FROM trash_tags WHERE repository = $1 LIMIT $2";

    DELETE_HISTORY = "DELETE FROM tag_history WHERE id IN
        (SELECT h.id FROM tag_history h WHERE h.repository = $1 LIMIT $2)";

    DELETE_USAGE = "DELETE FROM usage_deltas WHERE id IN
        (SELECT u.id FROM usage_deltas u WHERE u.repository = $1 LIMIT $2)";

    DELETE_REPOSITORY = "DELETE FROM repositories WHERE id = $1 AND purge_at IS NOT NULL";
}

/// As `TRASHED_MANIFEST`, with the row locked.
pub(crate) const LOCK_TRASHED_MANIFEST: Statement =
    Statement::each(TRASHED_MANIFEST.sqlite, postgres::LOCK_TRASHED_MANIFEST);

/// The name of a deleted repository whose time is over, if no other collector has locked it.
pub(crate) const LOCK_DUE: Statement =
    Statement::each(sqlite::LOCK_DUE_REPOSITORY, postgres::LOCK_DUE_REPOSITORY);
