use registry_database::{Migration, Schema};

/// The tables of webhooks.
///
/// What was promised is journalled: a webhook, and a message until its end is known. What attempts were made is history that a lost disk
/// may take along.
pub const SCHEMA: Schema = Schema {
    owner: "webhooks",
    migrations: &[
        // A binary that knows of no webhooks sends nothing.
        Migration { number: 12, oldest_binary: 1, sql: SQL },
    ],
    volatile: &["webhook_attempts", "webhook_callbacks"],
    content: &["webhooks"],
};

/// `webhooks`: `id` is random, so that no other webhook ever has it: what is sealed belongs to it. `origin`: 0 for one that was added, whose
/// definition is in the row; 1 for one of the configuration, of which the row has the name alone. `events`, `repositories`, `tags`: JSON
/// lists. `secret`, `former_secret`, `headers` are sealed. `state`: 0 active, 1 paused by a person, 2 disabled by its receiver.
///
/// What goes with a webhook is deleted by name: a journal sees no row go that goes by itself.
///
/// `webhook_sequences`: the last number given to a message about a repository (0 for what is about none).
///
/// `webhook_deliveries`: a message, which has the order of `number`. `state`: 0 waiting, 1 delivered, 2 dead, 3 not told, since the
/// receiver may not know of it any more. `event` and the columns after it are the event's.
///
/// `webhook_attempts`: the last attempts for a message. `webhook_callbacks`: what receivers of Docker Hub's format report.
const SQL: &str = r"
CREATE TABLE webhooks (
    id              BIGINT NOT NULL PRIMARY KEY,
    name            {text} NOT NULL UNIQUE,
    origin          BIGINT NOT NULL,
    url             {text},
    format          {text},
    events          {text},
    repositories    {text},
    tags            {text},
    timeout_ms      BIGINT,
    secret          {bytes},
    former_secret   {bytes},
    former_until_ms BIGINT,
    headers         {bytes},
    state           BIGINT NOT NULL,
    reason          {text},
    created_at_ms   BIGINT NOT NULL
);

CREATE TABLE webhook_sequences (
    webhook    BIGINT NOT NULL REFERENCES webhooks (id),
    repository BIGINT NOT NULL,
    last       BIGINT NOT NULL,
    PRIMARY KEY (webhook, repository)
){clustered};

CREATE TABLE webhook_deliveries (
    number             {id},
    id                 {text} NOT NULL UNIQUE,
    webhook            BIGINT NOT NULL REFERENCES webhooks (id),
    sequence           BIGINT NOT NULL,
    state              BIGINT NOT NULL,
    created_at_ms      BIGINT NOT NULL,
    ended_at_ms        BIGINT,
    event              BIGINT NOT NULL,
    position           BIGINT NOT NULL,
    kind               {text} NOT NULL,
    at_ms              BIGINT NOT NULL,
    repository         BIGINT,
    name               {text},
    tag                {text},
    digest             {text},
    digest_before      {text},
    media_type         {text},
    size_bytes         BIGINT,
    actor              {text},
    request_id         {text},
    request_address    {text},
    request_host       {text},
    request_method     {text},
    request_user_agent {text}
);
CREATE INDEX webhook_deliveries_history ON webhook_deliveries (webhook, number);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook, number) WHERE state = 0;
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at_ms) WHERE ended_at_ms IS NOT NULL;

CREATE TABLE webhook_attempts (
    delivery        BIGINT NOT NULL REFERENCES webhook_deliveries (number) ON DELETE CASCADE,
    number          BIGINT NOT NULL,
    at_ms           BIGINT NOT NULL,
    latency_ms      BIGINT NOT NULL,
    status          BIGINT,
    error           {text},
    request_headers {text} NOT NULL,
    answer          {text},
    PRIMARY KEY (delivery, number)
){clustered};

CREATE TABLE webhook_callbacks (
    delivery    BIGINT NOT NULL REFERENCES webhook_deliveries (number) ON DELETE CASCADE,
    number      BIGINT NOT NULL,
    at_ms       BIGINT NOT NULL,
    state       {text} NOT NULL,
    description {text},
    context     {text},
    target_url  {text},
    PRIMARY KEY (delivery, number)
){clustered};
";
