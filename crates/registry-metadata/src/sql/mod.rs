//! Every statement, written once for SQLite and PostgreSQL.
//!
//! - Parameters are `$1`, `$2`, … and appear *for the first time* in that order: PostgreSQL counts by number, SQLite by
//!   first appearance. A test holds them to it.
//! - What a time decides asks `now_ms()`, which is a function in both.
//! - A statement that a request waits for finds its rows by an index. A test asks the planner.
//! - PostgreSQL runs them as READ COMMITTED, where a row can change between two statements. So whatever decides that
//!   something goes does it in the condition of the statement that removes it, or the foreign keys do it; and a
//!   transaction that loses is run again from its start.

pub(crate) mod audit;
pub(crate) mod blobs;
pub(crate) mod collecting;
pub(crate) mod manifests;
pub(crate) mod quota;
pub(crate) mod reclaim;
pub(crate) mod repositories;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod tags;
pub(crate) mod uploads;

/// Defines statements as constants, and lists them for the tests.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $sql;)*

        #[cfg(test)]
        #[allow(dead_code, reason = "those of PostgreSQL alone are only looked at where there is a server")]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use statements;

#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        audit::ALL,
        blobs::ALL,
        collecting::ALL,
        manifests::ALL,
        quota::ALL,
        reclaim::ALL,
        repositories::ALL,
        restore::ALL,
        retention::ALL,
        tags::ALL,
        uploads::ALL,
    ]
    .into_iter()
    .flatten()
    .copied()
}
