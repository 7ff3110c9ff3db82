//! What comparing rows with bytes asks of a [`MetadataStore`](crate::MetadataStore), and what it is told.

use std::{fmt, str::FromStr, time::Duration};

use registry_database::Statement;
use registry_digest::Digest;
use registry_types::{Location, MediaType, RepositoryName, Tag};

use crate::sql::audit as sql;

/// An object in the store of bytes to which no row leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownObject {
    /// Where it lies.
    pub location: Location,
    /// How long ago it was seen for the first time, if it was unknown whenever somebody looked since.
    pub unknown_for: Duration,
}

/// An object as its row describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Where its bytes should be.
    pub location: Location,
    /// How many they should be.
    pub size_bytes: u64,
    /// Whether it is [hidden](crate::Content::mark_bad).
    pub is_bad: bool,
    /// What the bytes should be; all of them.
    pub digests: Vec<Digest>,
}

/// A manifest among all manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestPosition {
    pub(crate) repository: i64,
    /// The repository's name; none while it is being deleted.
    pub name: Option<RepositoryName>,
    /// The digest it was pushed by.
    pub digest: String,
}

/// How many lines a database says about one kind of fault at most.
pub(crate) const VERIFY_LINES_MAX: usize = 100;

/// How many rows of a table are looked at in one statement when a database is verified.
pub(crate) const VERIFY_PAGE: i64 = 1000;

/// A table whose texts are read when a database is verified: a row that can not be read is passed over everywhere else.
pub(crate) struct Texts {
    /// The table.
    pub(crate) table: &'static str,
    /// Lists rows after a number and a text, which its first two columns are, with one or two texts.
    pub(crate) sql: Statement,
    /// What is wrong with each of those texts.
    pub(crate) columns: &'static [fn(&str) -> Option<String>],
}

/// All such tables.
pub(crate) const TEXTS: &[Texts] = &[
    Texts { table: "objects", sql: sql::LOCATIONS_AFTER, columns: &[unreadable::<Location>] },
    Texts { table: "digests", sql: sql::DIGESTS_AFTER, columns: &[unreadable::<Digest>] },
    Texts { table: "repositories", sql: sql::NAMES_AFTER, columns: &[unreadable::<RepositoryName>] },
    Texts {
        table: "manifests",
        sql: sql::MANIFEST_KEYS_AFTER,
        columns: &[unreadable::<Digest>, unreadable::<MediaType>],
    },
    Texts { table: "tags", sql: sql::TAG_KEYS_AFTER, columns: &[unreadable::<Tag>, unreadable::<Digest>] },
];

/// Why a text is not what it should be, if so.
fn unreadable<T: FromStr<Err: fmt::Display>>(text: &str) -> Option<String> {
    text.parse::<T>().err().map(|error| error.to_string())
}

impl Texts {
    /// What is wrong with a row, if something is.
    pub(crate) fn say<'a>(&self, key: &str, texts: impl Iterator<Item = &'a str>) -> Option<String> {
        let why = texts.zip(self.columns).find_map(|(text, unreadable)| unreadable(text))?;
        Some(format!("the row `{key}` of {} can not be read: {why}", self.table))
    }
}
