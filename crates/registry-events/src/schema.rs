//! The tables.

use registry_database::{Migration, Schema};

/// The tables of events.
///
/// All of them are journalled: an event that was acknowledged with its change outlives the disk, and a consumer goes on where it
/// was. None of them is content, since a consumer's owner has content of its own.
pub const SCHEMA: Schema = Schema {
    owner: "events",
    migrations: &[
        // A binary that does not know of events, and still runs beside this one, records none.
        Migration { number: 9, oldest_binary: 1, sql: SQL },
    ],
    volatile: &[],
    content: &[],
};

/// `events`: what happened. No foreign keys: an event outlives what it tells of. `position`: its place in the order that all
/// consumers see; null until a node has given it one. An event is in one of two indexes: consumers and pruning read the one of
/// positions, what gives positions reads the other.
///
/// `event_stream`: the last position that was given. Its one row is made with the first consumer, and is locked by what gives
/// positions, adds consumers and prunes.
///
/// `event_consumers`: how far each consumer has come, in the transaction that keeps what it made of the events. `lost`: how many
/// events went without it.
const SQL: &str = r"
CREATE TABLE events (
    id                 {id},
    position           BIGINT,
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
CREATE UNIQUE INDEX events_position ON events (position) WHERE position IS NOT NULL;
CREATE INDEX events_waiting ON events (id) WHERE position IS NULL;

CREATE TABLE event_stream (
    one      BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    position BIGINT NOT NULL
){clustered};

CREATE TABLE event_consumers (
    name          {text} NOT NULL PRIMARY KEY,
    position      BIGINT NOT NULL,
    lost          BIGINT NOT NULL DEFAULT 0,
    created_at_ms BIGINT NOT NULL
){clustered};
";
