use super::statements;

statements! {
    START = "INSERT INTO uploads (id, repository, location, algorithm, started_at, touched_at)
        VALUES ($1, $2, $3, $4, now_ms(), now_ms())";

    /// Whether a repository has more sessions than `$2`.
    ARE_MORE_THAN = "SELECT 1 FROM uploads WHERE repository = $1 LIMIT 1 OFFSET $2";

    STATUS = "SELECT u.offset_bytes, u.algorithm, u.started_at
        FROM uploads u JOIN repositories r ON r.id = u.repository
        WHERE u.id = $1 AND r.name = $2";

    CLAIMED = "SELECT u.epoch, u.location, u.algorithm, u.offset_bytes, u.state
        FROM uploads u JOIN repositories r ON r.id = u.repository
        WHERE u.id = $1 AND r.name = $2";

    /// The column keeps the epoch of the claim that saved last; a later claim has a higher one.
    SAVE = "UPDATE uploads SET epoch = $1, offset_bytes = $2, state = $3, touched_at = now_ms()
        WHERE id = $4 AND epoch <= $1";

    EXISTS = "SELECT 1 FROM uploads WHERE id = $1";

    TO_FINISH = "SELECT u.repository, u.epoch, u.location
        FROM uploads u JOIN repositories r ON r.id = u.repository
        WHERE u.id = $1 AND r.name = $2";

    /// What a session has saved, for quotas.
    SAVED = "SELECT repository, offset_bytes FROM uploads WHERE id = $1";

    DELETE = "DELETE FROM uploads WHERE id = $1 RETURNING repository, offset_bytes";

    /// The session's bytes are to be given back, with the state that a store may need for that.
    TO_RECLAIM = "INSERT INTO reclaim (location, not_before, reason, upload_state)
        SELECT location, now_ms(), $1, state FROM uploads WHERE id = $2
        ON CONFLICT (location) DO NOTHING";

    /// Of repositories for which there is a quota.
    UNTOUCHED_COUNTED = "SELECT u.id FROM uploads u JOIN repositories r ON r.id = u.repository
        WHERE u.touched_at <= now_ms() - $1 AND EXISTS (SELECT 1 FROM quotas q
            WHERE q.prefix <= r.name AND substr(r.name, 1, length(q.prefix)) = q.prefix)
        ORDER BY u.touched_at LIMIT $2";

    UNTOUCHED = "SELECT id FROM uploads WHERE touched_at <= now_ms() - $1 ORDER BY touched_at LIMIT $2";

    /// Of a repository that was deleted.
    FORGET = "DELETE FROM uploads WHERE id = $1";
}
