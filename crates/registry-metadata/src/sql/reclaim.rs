use super::{of_each, statements};

statements! {
    /// An upsert, so that a collector which removes the row at this moment can not lose it. The later time counts: who
    /// asks computes it from the lease as it is now. That something was part of what is deleted is not forgotten because
    /// somebody asked for it.
    ENQUEUE = "INSERT INTO gc_queue (kind, repository, digest, due_at, reason)
        VALUES ($1, $2, $3, now_ms() + $4, $5)
        ON CONFLICT (kind, repository, digest) DO UPDATE SET due_at = excluded.due_at,
            reason = CASE WHEN excluded.reason = 'lease'
                    AND gc_queue.reason IN ('index deleted', 'subject deleted', 'untagged', 'expired')
                THEN gc_queue.reason ELSE excluded.reason END";

    /// Sets something down for now, or says why if it is down for later.
    MARK = "INSERT INTO gc_queue (kind, repository, digest, due_at, reason)
        VALUES ($1, $2, $3, now_ms(), $4)
        ON CONFLICT (kind, repository, digest) DO UPDATE SET reason = excluded.reason";

    /// Sets something down for that time, or leaves it down for an earlier one.
    ENQUEUE_EARLIER = "INSERT INTO gc_queue (kind, repository, digest, due_at, reason)
        VALUES ($1, $2, $3, now_ms() + $4, $5)
        ON CONFLICT (kind, repository, digest) DO UPDATE SET due_at =
            CASE WHEN gc_queue.due_at < excluded.due_at THEN gc_queue.due_at ELSE excluded.due_at END";

    RECLAIM = "INSERT INTO reclaim (location, not_before, reason) VALUES ($1, now_ms() + $2, $3)
        ON CONFLICT (location) DO NOTHING";

    RECLAIM_AT = "INSERT INTO reclaim (location, not_before, reason) VALUES ($1, $2, $3)
        ON CONFLICT (location) DO NOTHING";

    DUE = "SELECT location, upload_state FROM reclaim
        WHERE not_before <= now_ms() ORDER BY not_before LIMIT $1";

    /// A row for each, to be counted.
    DUE_EACH = "SELECT 1 FROM reclaim WHERE not_before <= now_ms() ORDER BY not_before LIMIT $1";

    POSTPONE = "UPDATE reclaim SET not_before = now_ms() + $1 WHERE location = $2";

    DONE = "DELETE FROM reclaim WHERE location = $1";
}

of_each! {
    /// As `ENQUEUE`, for many, in the order given. None of them for the reason `lease`.
    ENQUEUE_ALL;
}
