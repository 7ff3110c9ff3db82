//! Every statement. Parameters appear for the first time in the order of their numbers.

use registry_database::Statement;

/// Defines statements as constants, with a text for both engines or one for each, and lists them for the tests.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $kind:ident($($sql:expr),+ $(,)?);)*) => {
        $($(#[$doc])* pub(crate) const $name: Statement = Statement::$kind($($sql),+);)*

        #[cfg(test)]
        pub(crate) const ALL: &[(&str, Statement)] = &[$((stringify!($name), $name)),*];
    };
}

/// The lanes of the kind `$1` after `$2` in which a job waits, each found by one look at the index: reading the jobs would take
/// longer the more of them wait.
macro_rules! lanes {
    () => {
        "WITH RECURSIVE lanes (lane) AS (
            SELECT MIN(j.lane) FROM jobs j WHERE j.state = 0 AND j.kind = $1 AND j.lane > $2
            UNION ALL
            SELECT (SELECT MIN(j.lane) FROM jobs j WHERE j.state = 0 AND j.kind = $1 AND j.lane > l.lane)
                FROM lanes l WHERE l.lane IS NOT NULL
        ) "
    };
}

statements! {
    /// A new job.
    ENQUEUE = same(
        "INSERT INTO jobs (kind, lane, subject, created_at_ms) VALUES ($1, $2, $3, now_ms())",
    );

    /// How many jobs wait in a lane, counted up to `$3`.
    DEPTH = same(
        "SELECT COUNT(*) FROM (SELECT 1 AS one FROM jobs WHERE state = 0 AND kind = $1 AND lane = $2 LIMIT $3) AS waiting",
    );

    /// Lanes after `$2` that do not fail, that no node works on and in which something is due, at most `$3`. By name, since the next
    /// look begins after the last one: without a join they come in the order in which `lanes` finds them. `ORDER BY` would look at all
    /// of them for the first few.
    DUE_LANES = same(concat!(
        lanes!(),
        "SELECT l.lane, 0 FROM lanes l WHERE l.lane IS NOT NULL
            AND COALESCE((SELECT CASE WHEN h.failures = 0 THEN h.until_ms ELSE 9223372036854775807 END FROM job_lanes h
                WHERE h.kind = $1 AND h.lane = l.lane), 0) <= now_ms()
            AND (EXISTS (SELECT 1 FROM job_tries t WHERE t.kind = $1 AND t.lane = l.lane AND t.due_at_ms <= now_ms())
                OR EXISTS (SELECT 1 FROM jobs j WHERE j.state = 0 AND j.kind = $1 AND j.lane = l.lane
                    AND NOT EXISTS (SELECT 1 FROM job_tries t WHERE t.job = j.id)))
        LIMIT $3",
    ));

    /// The same of lanes that fail, with how often they failed in a row.
    DUE_FAILING_LANES = same(
        "SELECT h.lane, h.failures FROM job_lanes h
        WHERE h.kind = $1 AND h.lane > $2 AND h.failures > 0 AND h.until_ms <= now_ms()
            AND (EXISTS (SELECT 1 FROM job_tries t WHERE t.kind = $1 AND t.lane = h.lane AND t.due_at_ms <= now_ms())
                OR (h.paused_until_ms <= now_ms()
                    AND EXISTS (SELECT 1 FROM jobs j WHERE j.state = 0 AND j.kind = $1 AND j.lane = h.lane
                        AND NOT EXISTS (SELECT 1 FROM job_tries t WHERE t.job = j.id))))
        ORDER BY h.lane LIMIT $3",
    );

    /// Takes a lane that no other node works on, or goes on with it, for `$4`.
    CLAIM = same(
        "INSERT INTO job_lanes (kind, lane, holder, until_ms) VALUES ($1, $2, $3, now_ms() + $4)
        ON CONFLICT (kind, lane) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
        WHERE job_lanes.until_ms <= now_ms() OR job_lanes.holder = excluded.holder",
    );

    /// Gives a lane back that does not fail.
    FORGET_LANE = same("DELETE FROM job_lanes WHERE kind = $1 AND lane = $2 AND holder = $3 AND failures = 0");

    /// Gives a lane back that fails.
    GIVE_BACK = same("UPDATE job_lanes SET until_ms = now_ms() WHERE kind = $1 AND lane = $2 AND holder = $3");

    /// Notes how often a lane failed in a row, and for how long no job is begun there.
    SET_FAILURES = same(
        "UPDATE job_lanes SET failures = $1, paused_until_ms = now_ms() + $2 WHERE kind = $3 AND lane = $4 AND holder = $5",
    );

    /// The first job of a lane that was never tried, unless none is begun there.
    FIRST = same(
        "SELECT j.id, j.subject, j.created_at_ms, 0 FROM jobs j
        WHERE j.state = 0 AND j.kind = $1 AND j.lane = $2 AND NOT EXISTS (SELECT 1 FROM job_tries t WHERE t.job = j.id)
            AND NOT EXISTS (SELECT 1 FROM job_lanes h WHERE h.kind = $1 AND h.lane = $2 AND h.paused_until_ms > now_ms())
        ORDER BY j.id LIMIT 1",
    );

    /// The jobs of a lane that failed and are due again, at most `$3`.
    AGAIN = same(
        "SELECT j.id, j.subject, j.created_at_ms, t.attempts FROM job_tries t JOIN jobs j ON j.id = t.job
        WHERE t.kind = $1 AND t.lane = $2 AND t.due_at_ms <= now_ms() ORDER BY t.due_at_ms LIMIT $3",
    );

    /// Locks a job that waits.
    LOCK_WAITING = each(
        "SELECT 1 FROM jobs WHERE id = $1 AND state = 0",
        "SELECT 1 FROM jobs WHERE id = $1 AND state = 0 FOR UPDATE",
    );

    /// Removes a job that waits.
    DONE = same("DELETE FROM jobs WHERE id = $1 AND state = 0");

    /// Notes that a job failed, and when it is due again, unless so many failures of it are noted already: the node that has the lane
    /// now knows more than one that had it before.
    TRY_AGAIN = same(
        "INSERT INTO job_tries (job, kind, lane, attempts, due_at_ms, error) VALUES ($1, $2, $3, $4, now_ms() + $5, $6)
        ON CONFLICT (job) DO UPDATE SET attempts = excluded.attempts, due_at_ms = excluded.due_at_ms, error = excluded.error
        WHERE job_tries.attempts < excluded.attempts",
    );

    /// Has the jobs of a lane that failed be due now.
    HASTEN_LANE = same(
        "UPDATE job_tries SET due_at_ms = now_ms() WHERE kind = $1 AND lane = $2 AND due_at_ms > now_ms()",
    );

    /// A job is not tried any more.
    DIE = same("UPDATE jobs SET state = 1, ended_at_ms = now_ms(), error = $1 WHERE id = $2");

    /// Forgets how often a job failed.
    FORGET_TRIES = same("DELETE FROM job_tries WHERE job = $1");

    /// Dead jobs of a kind that ended before `$2`, or then and have a number below `$3`; the last first, at most `$4`.
    DEAD = same(
        "SELECT id, lane, subject, created_at_ms, ended_at_ms, error FROM jobs
        WHERE state = 1 AND kind = $1 AND (ended_at_ms, id) < ($2, $3) ORDER BY ended_at_ms DESC, id DESC LIMIT $4",
    );

    /// A dead job waits again.
    REPLAY = same("UPDATE jobs SET state = 0, ended_at_ms = NULL, error = NULL WHERE id = $1 AND state = 1");

    /// Removes a dead job.
    DISCARD = same("DELETE FROM jobs WHERE id = $1 AND state = 1");

    /// The kinds of which a job waits or is dead, each found by one look at an index.
    KINDS = same(
        "WITH RECURSIVE waiting (kind) AS (
            SELECT MIN(j.kind) FROM jobs j WHERE j.state = 0
            UNION ALL
            SELECT (SELECT MIN(j.kind) FROM jobs j WHERE j.state = 0 AND j.kind > w.kind) FROM waiting w WHERE w.kind IS NOT NULL
        ), dead (kind) AS (
            SELECT MIN(j.kind) FROM jobs j WHERE j.state = 1
            UNION ALL
            SELECT (SELECT MIN(j.kind) FROM jobs j WHERE j.state = 1 AND j.kind > d.kind) FROM dead d WHERE d.kind IS NOT NULL
        )
        SELECT kind FROM waiting WHERE kind IS NOT NULL UNION SELECT kind FROM dead WHERE kind IS NOT NULL",
    );

    /// Jobs of a kind that wait, after the job `$3` of the lane `$2`: by lane, and in the order of their turns; at most `$4`.
    WAITING = same(
        "SELECT j.id, j.lane, j.subject, j.created_at_ms, t.attempts, t.due_at_ms, t.error
        FROM jobs j LEFT JOIN job_tries t ON t.job = j.id
        WHERE j.state = 0 AND j.kind = $1 AND (j.lane, j.id) > ($2, $3) ORDER BY j.lane, j.id LIMIT $4",
    );

    /// Removes dead jobs of a kind. The number of rows is in the text, as in `DISCARD_LANE`.
    DISCARD_DEAD = same(
        "DELETE FROM jobs WHERE id IN
            (SELECT id FROM jobs WHERE state = 1 AND kind = $1 ORDER BY ended_at_ms, id LIMIT 1000)",
    );

    /// Removes jobs of a lane that wait. The number of rows is in the text, here and below: PostgreSQL would plan for a part of the
    /// table.
    DISCARD_LANE = same(
        "DELETE FROM jobs WHERE id IN
            (SELECT id FROM jobs WHERE state = 0 AND kind = $1 AND lane = $2 ORDER BY id LIMIT 1000)",
    );

    /// Removes dead jobs that are older than `$2`.
    PRUNE_OLD = same(
        "DELETE FROM jobs WHERE id IN
            (SELECT id FROM jobs WHERE state = 1 AND kind = $1 AND ended_at_ms < now_ms() - $2 ORDER BY ended_at_ms LIMIT 1000)",
    );

    /// Removes dead jobs beyond the last `$2`.
    PRUNE_MANY = same(
        "DELETE FROM jobs WHERE id IN
            (SELECT id FROM jobs WHERE state = 1 AND kind = $1 ORDER BY ended_at_ms DESC, id DESC LIMIT 1000 OFFSET $2)",
    );

    /// Forgets lanes on which no node has worked for `$2`.
    PRUNE_LANES = same("DELETE FROM job_lanes WHERE kind = $1 AND until_ms < now_ms() - $2");

    /// How many jobs of a kind wait, counted up to `$2`.
    COUNT_WAITING = same(
        "SELECT COUNT(*) FROM (SELECT 1 AS one FROM jobs WHERE state = 0 AND kind = $1 LIMIT $2) AS waiting",
    );

    /// Since when the first job of a kind waits: each lane's first one is older than the others of the lane.
    WAITING_SINCE = same(concat!(
        lanes!(),
        "SELECT MIN((SELECT j.created_at_ms FROM jobs j WHERE j.state = 0 AND j.kind = $1 AND j.lane = l.lane ORDER BY j.id LIMIT 1))
        FROM lanes l WHERE l.lane IS NOT NULL",
    ));

    /// How many jobs of a kind are dead.
    COUNT_DEAD = same("SELECT COUNT(*) FROM jobs WHERE state = 1 AND kind = $1");

    /// How many lanes of a kind fail.
    COUNT_FAILING = same("SELECT COUNT(*) FROM job_lanes WHERE kind = $1 AND failures > 0");
}
