//! Every statement. Parameters appear for the first time in the order of their numbers.

use registry_database::Statement;

/// Defines statements as constants.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $kind:ident($($sql:expr),+ $(,)?);)*) => {
        $($(#[$doc])* pub(crate) const $name: Statement = Statement::$kind($($sql),+);)*
    };
}

/// Locks a webhook: against other nodes that feed it, and against its removal.
pub(crate) const LOCK_WEBHOOK: &str = "SELECT 1 FROM webhooks WHERE id = $1 FOR UPDATE";

/// Locks a message, against others that note something of it.
pub(crate) const LOCK_DELIVERY: &str = "SELECT 1 FROM webhook_deliveries WHERE number = $1 FOR UPDATE";

/// The columns of a stored webhook, in the order in which it reads them.
macro_rules! webhook_columns {
    () => {
        "id, name, origin, url, format, events, repositories, tags, timeout_ms, secret, former_secret, former_until_ms,
            headers, state, reason, created_at_ms"
    };
}

/// The columns of an event in a message.
macro_rules! event_columns {
    () => {
        "event, position, kind, at_ms, repository, name, tag, digest, digest_before, media_type, size_bytes, actor,
            request_id, request_address, request_host, request_method, request_user_agent"
    };
}

/// The columns of a message, in the order in which it reads them.
macro_rules! delivery_columns {
    () => {
        concat!("number, id, webhook, sequence, state, created_at_ms, ended_at_ms, ", event_columns!())
    };
}

statements! {
    /// How many webhooks there are.
    COUNT_WEBHOOKS = same("SELECT COUNT(*) FROM webhooks");

    /// Adds a webhook, unless there is one of this name.
    ADD_WEBHOOK = same(
        "INSERT INTO webhooks (id, name, origin, url, format, events, repositories, tags, timeout_ms, secret, headers,
            state, created_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, now_ms()) ON CONFLICT (name) DO NOTHING",
    );

    /// Changes the definition of a webhook that was added.
    CHANGE_WEBHOOK = same(
        "UPDATE webhooks SET url = $1, format = $2, events = $3, repositories = $4, tags = $5, timeout_ms = $6, headers = $7
        WHERE id = $8 AND origin = 0",
    );

    /// The webhooks, by name.
    WEBHOOKS = same(concat!("SELECT ", webhook_columns!(), " FROM webhooks ORDER BY name"));

    /// The webhook of this name.
    WEBHOOK = same(concat!("SELECT ", webhook_columns!(), " FROM webhooks WHERE name = $1"));

    /// The webhook of this number.
    WEBHOOK_OF_ID = same(concat!("SELECT ", webhook_columns!(), " FROM webhooks WHERE id = $1"));

    /// Sets a webhook's state, and why it is so.
    SET_STATE = same("UPDATE webhooks SET state = $1, reason = $2 WHERE id = $3");

    /// Gives a webhook a new secret; the former one is good until `$3`.
    SET_SECRET = same(
        "UPDATE webhooks SET secret = $1, former_secret = $2, former_until_ms = $3 WHERE id = $4 AND origin = 0",
    );

    /// Removes the messages to a webhook.
    REMOVE_DELIVERIES = same("DELETE FROM webhook_deliveries WHERE webhook = $1");

    /// Removes the numbers of a webhook.
    REMOVE_SEQUENCES = same("DELETE FROM webhook_sequences WHERE webhook = $1");

    /// Removes a webhook, of which nothing else is left.
    REMOVE_WEBHOOK = same("DELETE FROM webhooks WHERE id = $1");

    /// What the database's clock says.
    NOW = same("SELECT now_ms()");

    /// How many messages wait for a webhook, counted up to `$2`.
    WAITING = same(
        "SELECT COUNT(*) FROM (SELECT 1 FROM webhook_deliveries WHERE webhook = $1 AND state = 0 LIMIT $2) AS waiting",
    );

    /// Takes so many numbers of a webhook's sequence for a repository, and says the last of them.
    TAKE_SEQUENCE = same(
        "INSERT INTO webhook_sequences (webhook, repository, last) VALUES ($1, $2, $3)
        ON CONFLICT (webhook, repository) DO UPDATE SET last = webhook_sequences.last + excluded.last RETURNING last",
    );

    /// Webhooks and repositories whose messages are numbered, after a webhook and a repository.
    SEQUENCES_AFTER = same(
        "SELECT webhook, repository FROM webhook_sequences WHERE (webhook, repository) > ($1, $2) AND repository <> 0
        ORDER BY webhook, repository LIMIT $3",
    );

    /// Forgets the last number of a webhook for a repository.
    FORGET_SEQUENCE = same("DELETE FROM webhook_sequences WHERE webhook = $1 AND repository = $2");

    /// Writes a message.
    ADD_DELIVERY = same(concat!(
        "INSERT INTO webhook_deliveries (id, webhook, sequence, state, created_at_ms, ", event_columns!(), ")
        VALUES ($1, $2, $3, 0, now_ms(), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    ));

    /// Writes a copy of a message under another id and number.
    COPY_DELIVERY = same(concat!(
        "INSERT INTO webhook_deliveries (id, webhook, sequence, state, created_at_ms, ", event_columns!(), ")
        SELECT $1, webhook, $2, 0, now_ms(), ", event_columns!(), " FROM webhook_deliveries WHERE number = $3",
    ));

    /// A message.
    DELIVERY = same(concat!("SELECT ", delivery_columns!(), " FROM webhook_deliveries WHERE id = $1"));

    /// Messages of a webhook before a number, the newest first.
    DELIVERIES = same(concat!(
        "SELECT ", delivery_columns!(), " FROM webhook_deliveries WHERE webhook = $1 AND number < $2
        ORDER BY number DESC LIMIT $3",
    ));

    /// The same of those that stand so.
    DELIVERIES_IN_STATE = same(concat!("SELECT ", delivery_columns!(), " FROM webhook_deliveries
        WHERE webhook = $1 AND number < $2 AND state = $3 ORDER BY number DESC LIMIT $4"));

    /// Messages of a webhook that were delivered or given up since a time, after a number and up to another.
    ENDED_SINCE = same(concat!("SELECT ", delivery_columns!(), " FROM webhook_deliveries
        WHERE webhook = $1 AND number > $2 AND number <= $3 AND state IN (1, 2) AND ended_at_ms >= $4
        ORDER BY number LIMIT $5"));

    /// The number of the newest message to a webhook.
    NEWEST = same("SELECT MAX(number) FROM webhook_deliveries WHERE webhook = $1");

    /// Number and name of the webhooks that are active, and whether the configuration defines them.
    ACTIVE = same("SELECT id, name, origin FROM webhooks WHERE state = 0 ORDER BY id");

    /// Notes how a message ended, if it waits.
    END_DELIVERY = same(
        "UPDATE webhook_deliveries SET state = $1, ended_at_ms = now_ms() WHERE number = $2 AND state = 0",
    );

    /// Has an ended message wait again: since now, so that it is given up by the time that it waits from here on.
    REVIVE_DELIVERY = same(
        "UPDATE webhook_deliveries SET state = 0, ended_at_ms = NULL, created_at_ms = now_ms()
        WHERE number = $1 AND state <> 0",
    );

    /// Notes an attempt for a message, if that is there: it may have gone with its webhook. Says which attempt it is.
    ADD_ATTEMPT = same(
        "INSERT INTO webhook_attempts (delivery, number, at_ms, latency_ms, status, error, request_headers, answer)
        SELECT d.number, COALESCE((SELECT MAX(a.number) FROM webhook_attempts a WHERE a.delivery = d.number), 0) + 1,
            $1, $2, $3, $4, $5, $6 FROM webhook_deliveries d WHERE d.number = $7 RETURNING number",
    );

    /// Forgets attempts up to a number.
    FORGET_ATTEMPTS = same("DELETE FROM webhook_attempts WHERE delivery = $1 AND number <= $2");

    /// The attempts for a message.
    ATTEMPTS = same(
        "SELECT number, at_ms, latency_ms, status, error, request_headers, answer FROM webhook_attempts
        WHERE delivery = $1 ORDER BY number",
    );

    /// The number of the last report of a receiver.
    LAST_CALLBACK = same("SELECT MAX(number) FROM webhook_callbacks WHERE delivery = $1");

    /// Notes what a receiver reports.
    ADD_CALLBACK = same(
        "INSERT INTO webhook_callbacks (delivery, number, at_ms, state, description, context, target_url)
        VALUES ($1, $2, now_ms(), $3, $4, $5, $6)",
    );

    /// What receivers reported of a message.
    CALLBACKS = same(
        "SELECT at_ms, state, description, context, target_url FROM webhook_callbacks WHERE delivery = $1 ORDER BY number",
    );

    /// The webhooks for which a message waits since before a time: of each the first one is the oldest.
    WAIT_SINCE_BEFORE = same(
        "SELECT w.id FROM webhooks w WHERE
            (SELECT d.created_at_ms FROM webhook_deliveries d WHERE d.webhook = w.id AND d.state = 0
            ORDER BY d.number LIMIT 1) < $1",
    );

    /// Gives up messages that wait for a webhook since before a time, some at a time.
    GIVE_UP = same(
        "UPDATE webhook_deliveries SET state = 2, ended_at_ms = now_ms() WHERE number IN
            (SELECT number FROM webhook_deliveries WHERE webhook = $1 AND state = 0 AND created_at_ms < $2
            ORDER BY number LIMIT $3)",
    );

    /// Removes messages that ended before a time, some at a time.
    PRUNE_OLD = same(
        "DELETE FROM webhook_deliveries WHERE number IN
            (SELECT number FROM webhook_deliveries WHERE ended_at_ms < $1 ORDER BY ended_at_ms LIMIT $2)",
    );

    /// Removes the oldest messages of a webhook that ended otherwise than dead, beyond the newest `$2` that are not dead, some at a time.
    PRUNE_MANY = same(
        "DELETE FROM webhook_deliveries WHERE number IN
            (SELECT number FROM webhook_deliveries WHERE webhook = $1 AND state IN (1, 3) AND number <=
                (SELECT number FROM webhook_deliveries WHERE webhook = $1 AND state <> 2
                ORDER BY number DESC LIMIT 1 OFFSET $2)
            ORDER BY number LIMIT $3)",
    );

    /// The same of those that are dead: a dead letter is older than what was delivered while it was tried, and is not to go for it.
    PRUNE_DEAD = same(
        "DELETE FROM webhook_deliveries WHERE number IN
            (SELECT number FROM webhook_deliveries WHERE webhook = $1 AND state = 2 AND number <=
                (SELECT number FROM webhook_deliveries WHERE webhook = $1 AND state = 2
                ORDER BY number DESC LIMIT 1 OFFSET $2)
            ORDER BY number LIMIT $3)",
    );

    /// Of each webhook: how many messages wait, since when the first does, and how many ended how. The first one is the oldest.
    NUMBERS = same(
        "SELECT w.name, w.state,
            (SELECT COUNT(*) FROM webhook_deliveries d WHERE d.webhook = w.id AND d.state = 0),
            (SELECT d.created_at_ms FROM webhook_deliveries d WHERE d.webhook = w.id AND d.state = 0
                ORDER BY d.number LIMIT 1),
            (SELECT COUNT(*) FROM webhook_deliveries d WHERE d.webhook = w.id AND d.state = 2)
        FROM webhooks w ORDER BY w.name",
    );
}
