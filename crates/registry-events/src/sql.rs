//! Every statement. Parameters appear for the first time in the order of their numbers.

use registry_database::Statement;

use crate::event::event_columns;

/// Defines statements as constants, with a text for both engines or one for each, and lists them for the tests.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $kind:ident($($sql:expr),+ $(,)?);)*) => {
        $($(#[$doc])* pub(crate) const $name: Statement = Statement::$kind($($sql),+);)*

        #[cfg(test)]
        pub(crate) const ALL: &[(&str, Statement)] = &[$((stringify!($name), $name)),*];
    };
}

/// Locks a consumer.
pub(crate) const LOCK_CONSUMER: &str = "SELECT 1 FROM event_consumers WHERE name = $1 FOR UPDATE";

statements! {
    /// Writes an event.
    RECORD = same(
        "INSERT INTO events (kind, at_ms, repository, name, tag, digest, digest_before, media_type, size_bytes, actor,
            request_id, request_address, request_host, request_method, request_user_agent)
        VALUES ($1, now_ms(), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    );

    /// Whether there is a consumer, and whether there is an event: by the index, since the table may begin with pages of rows that
    /// are gone.
    LOOK = same("SELECT EXISTS (SELECT 1 FROM event_consumers), (SELECT MIN(id) FROM events) IS NOT NULL");

    /// Locks the stream, and says which position was given last.
    LOCK_STREAM = each(
        "SELECT position FROM event_stream WHERE one = 1",
        "SELECT position FROM event_stream WHERE one = 1 FOR UPDATE",
    );

    /// Whether an event waits for a position.
    IS_WAITING = same("SELECT 1 FROM events WHERE position IS NULL ORDER BY id LIMIT 1");

    /// Gives the events that came first, of those that have no position, the next ones after `$1`. The number of rows is in the
    /// text here and below where rows are changed: PostgreSQL would plan for a part of the table.
    GIVE_POSITIONS = same(
        "UPDATE events SET position = $1 + next.number
        FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS number
            FROM (SELECT id FROM events WHERE position IS NULL ORDER BY id LIMIT 500) AS waiting) AS next
        WHERE events.id = next.id",
    );

    /// Notes how many positions were given.
    ADVANCE_STREAM = same("UPDATE event_stream SET position = position + $1 WHERE one = 1");

    /// Makes the stream, with the first consumer.
    BEGIN_STREAM = same("INSERT INTO event_stream (one, position) VALUES (1, 0) ON CONFLICT (one) DO NOTHING");

    /// How many consumers there are.
    COUNT_CONSUMERS = same("SELECT COUNT(*) FROM event_consumers");

    /// Adds a consumer at the present end, unless there is one of this name.
    ADD_CONSUMER = same(
        "INSERT INTO event_consumers (name, position, created_at_ms) SELECT $1, s.position, now_ms() FROM event_stream s
        WHERE true ON CONFLICT (name) DO NOTHING",
    );

    /// Removes a consumer.
    REMOVE_CONSUMER = same("DELETE FROM event_consumers WHERE name = $1");

    /// What a consumer has not taken yet.
    UNTAKEN = same(concat!(
        "SELECT ", event_columns!(), " FROM events
        WHERE position > (SELECT c.position FROM event_consumers c WHERE c.name = $1) ORDER BY position LIMIT $2",
    ));

    /// Notes how far a consumer has come, and how many events more it could not read.
    ADVANCE_CONSUMER = same("UPDATE event_consumers SET position = $1, lost = lost + $2 WHERE name = $3");

    /// The consumers that have not taken all, of those whose names are `$1` or after, and before `$2`.
    BEHIND = same(
        "SELECT c.name FROM event_consumers c, event_stream s
        WHERE c.name >= $1 AND c.name < $2 AND c.position < s.position ORDER BY c.name LIMIT $3",
    );

    /// Whether the oldest event can go: `$1` is how old it may be, `$2` how many are kept.
    IS_PRUNABLE = same(
        "SELECT 1 FROM (SELECT position, at_ms FROM events WHERE position IS NOT NULL ORDER BY position LIMIT 1) AS oldest
        WHERE oldest.position <= (SELECT MIN(position) FROM event_consumers) OR oldest.at_ms < now_ms() - $1
            OR oldest.position <= (SELECT position FROM event_stream) - $2",
    );

    /// What all consumers have taken; null without consumers.
    TAKEN_BY_ALL = same("SELECT MIN(position) FROM event_consumers");

    /// The last of the `$1` oldest events that can go: it is at `$2` or before, or is older than `$3`.
    LAST_TO_PRUNE = same(
        "SELECT MAX(oldest.position)
        FROM (SELECT position, at_ms FROM events WHERE position IS NOT NULL ORDER BY position LIMIT $1) AS oldest
        WHERE oldest.position <= $2 OR oldest.at_ms < now_ms() - $3",
    );

    /// The consumers that have not come as far as this, locked.
    LAGGING = each(
        "SELECT name, $1 - position FROM event_consumers WHERE position < $1 ORDER BY name",
        "SELECT name, $1 - position FROM event_consumers WHERE position < $1 ORDER BY name FOR UPDATE",
    );

    /// Moves a consumer on by so many events, which it loses.
    SKIP = same("UPDATE event_consumers SET position = position + $1, lost = lost + $1 WHERE name = $2");

    /// Removes events up to a position.
    PRUNE = same("DELETE FROM events WHERE position <= $1");

    /// Removes some events, with a position or without.
    EMPTY = same("DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT 1000)");

    /// The repositories of the first `$1` events, each as often as there are events of it; null for what is about none.
    REPOSITORIES = same("SELECT repository FROM events ORDER BY id LIMIT $1");

    /// How many events wait for a position, counted up to `$1`, and since when the first of them does.
    WAITING = same(
        "SELECT COUNT(*), MIN(waiting.at_ms)
        FROM (SELECT at_ms FROM events WHERE position IS NULL ORDER BY id LIMIT $1) AS waiting",
    );

    /// The consumers, and how far each lags.
    CONSUMERS = same(
        "SELECT c.name, s.position - c.position, c.lost FROM event_consumers c, event_stream s ORDER BY c.name",
    );
}
