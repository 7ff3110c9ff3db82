//! Every statement, written once for SQLite and PostgreSQL; where each needs a text of its own, the texts are in `sqlite` and
//! `postgres`, and the statement of both beside the others.
//!
//! - Parameters are `$1`, `$2`, … and appear *for the first time* in that order: PostgreSQL counts by number, SQLite by
//!   first appearance. A test holds them to it.
//! - What a time decides asks `now_ms()`, which is a function in both.
//! - A statement that a request waits for finds its rows by an index. A test asks the planner.
//! - PostgreSQL runs them as READ COMMITTED, where a row can change between two statements. So whatever decides that
//!   something goes does it in the condition of the statement that removes it, or the foreign keys do it; and a
//!   transaction that loses is run again from its start.

pub(crate) mod adoption;
pub(crate) mod audit;
pub(crate) mod blobs;
pub(crate) mod collecting;
#[cfg(test)]
pub(crate) mod filled;
pub(crate) mod manifests;
pub(crate) mod namespaces;
pub(crate) mod postgres;
pub(crate) mod quota;
pub(crate) mod reclaim;
pub(crate) mod repositories;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod sqlite;
pub(crate) mod tags;
pub(crate) mod uploads;

/// Defines statements that both databases understand as constants, and lists them for the tests.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $(
            $(#[$doc])*
            #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "some are for what only SQLite's store does"))]
            pub(crate) const $name: registry_database::Statement = registry_database::Statement::same($sql);
        )*

        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name.sqlite)),*];
    };
}
pub(crate) use statements;

/// Defines the texts of one database as constants, and lists them for the tests.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $sql;)*

        #[cfg(test)]
        #[allow(dead_code, reason = "those of PostgreSQL are only looked at where there is a server")]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use texts;

/// Defines statements as constants that have a text for each database: `UNKNOWN;` has `sqlite::UNKNOWN` and
/// `postgres::UNKNOWN`.
macro_rules! of_each {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "some are for what only SQLite's store does"))]
            pub(crate) const $name: registry_database::Statement =
                registry_database::Statement::each($crate::sql::sqlite::$name, $crate::sql::postgres::$name);
        )*
    };
}
pub(crate) use of_each;

/// Those that both databases understand.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        adoption::ALL,
        audit::ALL,
        blobs::ALL,
        collecting::ALL,
        manifests::ALL,
        namespaces::ALL,
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    /// Those that change a tag of a repository that is not deleted as a whole. Where they are called, the rule about immutable
    /// tags has to be known.
    const CHANGE_TAGS: [&str; 8] = [
        "SET",
        "SET_ONCE",
        "DATE",
        "DELETE",
        "DELETE_AS_SEEN",
        "DELETE_OF_MANIFEST",
        "INSERT_TAG",
        "MOVE_TAG",
    ];

    #[test]
    fn tags_are_changed_by_these_statements_only() {
        let changes = |sql: &str| {
            ["INSERT INTO tags ", "UPDATE tags ", "DELETE FROM tags "]
                .iter()
                .any(|change| sql.contains(change))
        };
        for (name, _) in super::all().filter(|(_, sql)| changes(sql)) {
            assert!(CHANGE_TAGS.contains(&name) || name == "DELETE_TAGS", "{name}");
        }
    }

    #[test]
    fn only_the_modules_of_tags_change_tags() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for folder in ["sqlite", "postgres", "logic", "logic/collect"] {
            let files = fs::read_dir(source.join(folder)).unwrap().map(|file| file.unwrap().path());
            let others = files.filter(|file: &PathBuf| file.is_file() && !file.ends_with("tags.rs"));
            for file in others {
                let text = fs::read_to_string(&file).unwrap();
                let is_used = |name: &&&str| {
                    ["tag_sql", "own", "tags", "postgres", "sqlite"].iter().any(|module| {
                        [",", "."].iter().any(|end| text.contains(&format!("{module}::{name}{end}")))
                    })
                };
                let used: Vec<_> = CHANGE_TAGS.iter().filter(is_used).collect();
                assert!(used.is_empty(), "{} uses {used:?}", file.display());
                assert!(!text.contains("DELETE FROM tags"), "{} has its own statement", file.display());
            }
        }
    }
}
