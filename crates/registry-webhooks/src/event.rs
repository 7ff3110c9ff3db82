use registry_events::{Event, Kind};
use registry_types::Cause;

/// An event of this kind at this time, which has no place among the others and is about nothing yet.
pub(crate) fn event(kind: Kind, at_ms: i64, cause: Cause) -> Event {
    Event {
        id: 0,
        position: 0,
        kind,
        at_ms,
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
