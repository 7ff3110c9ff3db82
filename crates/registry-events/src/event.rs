//! What happened.

use registry_database::{Fault, FromRow, Row};
use registry_types::{Cause, EventKind as Kind, RequestSource};

/// Something that happens, as its transaction hands it over. Texts are what checked types show of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEvent<'a> {
    /// What kind of thing.
    pub kind: Kind,
    /// The number of the repository, if it is about one.
    pub repository: Option<i64>,
    /// The name of the repository, or of what else it is about.
    pub name: Option<&'a str>,
    /// The tag.
    pub tag: Option<&'a str>,
    /// The digest of the manifest, or what the tag leads to now.
    pub digest: Option<&'a str>,
    /// What the tag led to before.
    pub digest_before: Option<&'a str>,
    /// The media type of the manifest.
    pub media_type: Option<&'a str>,
    /// The size of the manifest alone, in bytes.
    pub size_bytes: Option<u64>,
    /// What caused it.
    pub cause: &'a Cause,
}

impl<'a> NewEvent<'a> {
    /// Something of this kind, with nothing but its cause.
    pub fn new(kind: Kind, cause: &'a Cause) -> NewEvent<'a> {
        NewEvent {
            kind,
            repository: None,
            name: None,
            tag: None,
            digest: None,
            digest_before: None,
            media_type: None,
            size_bytes: None,
            cause,
        }
    }

    /// Something of this kind in a repository.
    pub fn in_repository(kind: Kind, repository: i64, name: &'a str, cause: &'a Cause) -> NewEvent<'a> {
        NewEvent { repository: Some(repository), name: Some(name), ..NewEvent::new(kind, cause) }
    }
}

/// Something that happened, as consumers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number, which no other event of the database ever has.
    pub id: i64,
    /// Its place in the order of all events, from 1 without gaps.
    pub position: i64,
    /// What kind of thing.
    pub kind: Kind,
    /// When, in milliseconds since 1970 UTC by the database's clock.
    pub at_ms: i64,
    /// The number of the repository, if it is about one. It may be gone.
    pub repository: Option<i64>,
    /// The name of the repository, or of what else it is about.
    pub name: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// The digest of the manifest, or what the tag led to from then on.
    pub digest: Option<String>,
    /// What the tag led to before.
    pub digest_before: Option<String>,
    /// The media type of the manifest.
    pub media_type: Option<String>,
    /// The size of the manifest alone, in bytes.
    pub size_bytes: Option<u64>,
    /// What caused it.
    pub cause: Cause,
}

/// The columns of an [`Event`], in the order in which it reads them.
macro_rules! event_columns {
    () => {
        "position, id, kind, at_ms, repository, name, tag, digest, digest_before, media_type, size_bytes, actor,
            request_id, request_address, request_host, request_method, request_user_agent"
    };
}
pub(crate) use event_columns;

impl FromRow for Event {
    fn from_row(row: &Row<'_>) -> Result<Event, Fault> {
        Ok(Event {
            position: row.get(0)?,
            id: row.get(1)?,
            kind: row.parsed(2)?,
            at_ms: row.get(3)?,
            repository: row.get(4)?,
            name: row.get(5)?,
            tag: row.get(6)?,
            digest: row.get(7)?,
            digest_before: row.get(8)?,
            media_type: row.get(9)?,
            size_bytes: row.get(10)?,
            cause: Cause { actor: row.get(11)?, request: request(row)? },
        })
    }
}

/// The request, of which an id was kept if there was one.
fn request(row: &Row<'_>) -> Result<Option<RequestSource>, Fault> {
    let Some(id) = row.get::<Option<String>>(12)? else { return Ok(None) };
    let text = |index| row.get::<Option<String>>(index);
    let (address, host, method, agent) = (text(13)?, text(14)?, text(15)?.unwrap_or_default(), text(16)?);
    Ok(Some(RequestSource::new(&id, address.as_deref(), host.as_deref(), &method, agent.as_deref())))
}
