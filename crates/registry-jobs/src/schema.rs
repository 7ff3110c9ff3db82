//! The tables.

use registry_database::{Migration, Schema};

/// The tables of jobs.
///
/// What is to be done is journalled, how far it has come is not: after the loss of a disk a job that waits is tried as if it were
/// new, and one that was done in the last moments may be done again.
pub const SCHEMA: Schema = Schema {
    owner: "jobs",
    migrations: &[
        // A binary that does not know of jobs, and still runs beside this one, does none.
        Migration { number: 10, oldest_binary: 1, sql: SQL },
    ],
    volatile: &["job_tries", "job_lanes"],
    content: &[],
};

/// `jobs`: what is to be done. `state`: 0 waits, 1 is dead. A job that was done has no row.
///
/// `job_tries`: a job that waits and has failed: how often, and when it is due again. It has the job's kind and lane, so that what
/// is due in a lane is a range of an index.
///
/// `job_lanes`: which node works on a lane, and until when unless it says so again; how many attempts in the lane failed in a row,
/// and until when no job is begun there.
const SQL: &str = r"
CREATE TABLE jobs (
    id            {id},
    kind          {text} NOT NULL,
    lane          {text} NOT NULL,
    subject       {text} NOT NULL,
    created_at_ms BIGINT NOT NULL,
    state         BIGINT NOT NULL DEFAULT 0 CHECK (state IN (0, 1)),
    ended_at_ms   BIGINT,
    error         {text}
);
CREATE INDEX jobs_waiting ON jobs (kind, lane, id) WHERE state = 0;
CREATE INDEX jobs_dead ON jobs (kind, ended_at_ms, id) WHERE state = 1;

CREATE TABLE job_tries (
    job       BIGINT NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    kind      {text} NOT NULL,
    lane      {text} NOT NULL,
    attempts  BIGINT NOT NULL,
    due_at_ms BIGINT NOT NULL,
    error     {text}
);
CREATE INDEX job_tries_due ON job_tries (kind, lane, due_at_ms);

CREATE TABLE job_lanes (
    kind            {text} NOT NULL,
    lane            {text} NOT NULL,
    holder          {text} NOT NULL,
    until_ms        BIGINT NOT NULL,
    failures        BIGINT NOT NULL DEFAULT 0,
    paused_until_ms BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, lane)
){clustered};
";
