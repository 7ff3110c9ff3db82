use registry_events::{Event, Kind};
use registry_types::{EventFilter, ParseEventKindError, ParsePatternError, Pattern, WebhookFormat};
use thiserror::Error;

/// How many filters of one sort a webhook has at most.
pub const FILTERS_MAX: usize = 32;

/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256;

/// How large a pattern is at most once it is compiled, in bytes.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 10 * 1024;

/// The pattern that every name fits.
const EVERYTHING: &str = "**";

/// The longest media type or action that is ignored, in bytes.
const IGNORED_BYTES_MAX: usize = 255;

/// Which events a receiver is told of. An empty list lets all pass. A list of tags says nothing of events that name no tag; a list of
/// repositories lets an event that names none pass only if `**` is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    events: Vec<EventFilter>,
    repositories: Vec<Pattern>,
    tags: Vec<Pattern>,
    ignored_media_types: Vec<String>,
    ignored_actions: Vec<String>,
}

/// Why a filter can not be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterError {
    /// There is no such event.
    #[error(transparent)]
    Event(#[from] ParseEventKindError),
    /// A pattern can not be read.
    #[error(transparent)]
    Pattern(#[from] ParsePatternError),
    /// Too many.
    #[error("there are at most {FILTERS_MAX} of {0}")]
    Many(&'static str),
    /// A media type or an action is too long.
    #[error("a media type or an action has at most {IGNORED_BYTES_MAX} bytes")]
    Long,
}

impl Filter {
    /// Reads a filter: events as [`EventFilter`] has them, repositories and tags as [`Pattern`] has them.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn new(events: &[String], repositories: &[String], tags: &[String]) -> Result<Filter, FilterError> {
        bounded("events", events)?;
        Ok(Filter {
            events: events.iter().map(|event| event.parse()).collect::<Result<_, _>>()?,
            repositories: patterns("repositories", repositories)?,
            tags: patterns("tags", tags)?,
            ..Filter::default()
        })
    }

    /// The same without what an endpoint of the Go registry ignores: media types and actions that are exactly these.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn ignoring(self, media_types: &[String], actions: &[String]) -> Result<Filter, FilterError> {
        bounded("media types", media_types)?;
        bounded("actions", actions)?;
        if media_types.iter().chain(actions).any(|text| text.len() > IGNORED_BYTES_MAX) {
            return Err(FilterError::Long);
        }
        Ok(Filter { ignored_media_types: media_types.to_vec(), ignored_actions: actions.to_vec(), ..self })
    }

    /// Whether a receiver of this format is told of this event.
    pub fn lets_pass(&self, format: WebhookFormat, event: &Event) -> bool {
        knows(format, event.kind)
            && (self.events.is_empty() || self.events.iter().any(|filter| filter.matches(event.kind)))
            && self.wants_repository(event.name.as_deref())
            && self.wants_tag(event.tag.as_deref())
            && !self.ignores(action(event.kind), event.media_type.as_deref())
    }

    /// Whether a receiver of the Go registry's format is told of what clients read, mount and push as blobs.
    pub fn lets_notice_pass(
        &self,
        action: &str,
        media_type: Option<&str>,
        repository: &str,
        tag: Option<&str>,
    ) -> bool {
        // These are no kinds of events: a webhook that names kinds does not mean them.
        self.events.is_empty()
            && self.wants_repository(Some(repository))
            && self.wants_tag(tag)
            && !self.ignores(action, media_type)
    }

    fn wants_repository(&self, name: Option<&str>) -> bool {
        let is_all = |pattern: &Pattern| pattern.as_str() == EVERYTHING;
        self.repositories.is_empty()
            || name.map_or_else(
                || self.repositories.iter().any(is_all),
                |name| matches_one(&self.repositories, name),
            )
    }

    fn wants_tag(&self, tag: Option<&str>) -> bool {
        self.tags.is_empty() || tag.is_none_or(|tag| matches_one(&self.tags, tag))
    }

    fn ignores(&self, action: &str, media_type: Option<&str>) -> bool {
        let is_in = |list: &[String], text: &str| list.iter().any(|ignored| ignored == text);
        is_in(&self.ignored_actions, action)
            || is_in(&self.ignored_media_types, media_type.unwrap_or_default())
    }

    /// The events as they were written; so for the others.
    pub fn events(&self) -> Vec<String> {
        self.events.iter().map(ToString::to_string).collect()
    }

    /// The patterns of repositories.
    pub fn repositories(&self) -> Vec<String> {
        self.repositories.iter().map(ToString::to_string).collect()
    }

    /// The patterns of tags.
    pub fn tags(&self) -> Vec<String> {
        self.tags.iter().map(ToString::to_string).collect()
    }
}

/// Whether a format has a way to tell of this kind.
pub(crate) fn knows(format: WebhookFormat, kind: Kind) -> bool {
    match format {
        WebhookFormat::CloudEvents => true,
        // One call for each tag that leads elsewhere now.
        WebhookFormat::DockerHub => matches!(
            kind,
            Kind::TagMoved | Kind::TagReverted | Kind::TagRestored | Kind::MirrorTagMoved | Kind::WebhookTest
        ),
        WebhookFormat::Distribution => !action(kind).is_empty(),
    }
}

/// What the Go registry would call it; empty where it has nothing of the kind.
pub(crate) fn action(kind: Kind) -> &'static str {
    match kind {
        // What brings a manifest or a tag back is a push there.
        Kind::ManifestPushed | Kind::ManifestRestored | Kind::TagReverted | Kind::TagRestored => "push",
        Kind::ManifestDeleted | Kind::TagDeleted => "delete",
        Kind::WebhookTest => "test",
        _ => "",
    }
}

fn matches_one(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

fn patterns(what: &'static str, texts: &[String]) -> Result<Vec<Pattern>, FilterError> {
    bounded(what, texts)?;
    let parse = |text: &String| Pattern::parse_within(text, PATTERN_BYTES_MAX, PATTERN_COMPILED_BYTES_MAX);
    Ok(texts.iter().map(parse).collect::<Result<_, _>>()?)
}

fn bounded(what: &'static str, list: &[String]) -> Result<(), FilterError> {
    if list.len() > FILTERS_MAX { Err(FilterError::Many(what)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(events: &[&str], repositories: &[&str], tags: &[&str]) -> Result<Filter, FilterError> {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Filter::new(&owned(events), &owned(repositories), &owned(tags))
    }

    fn event(kind: &str, name: Option<&str>, tag: Option<&str>) -> Event {
        let mut event = crate::event::event(kind.parse().unwrap(), 0, registry_types::Cause::UNKNOWN);
        (event.name, event.tag) = (name.map(str::to_owned), tag.map(str::to_owned));
        event
    }

    #[test]
    fn all_that_is_asked_for_has_to_fit() {
        let moved = event("tag.moved", Some("acme/app"), Some("v1.2"));
        for (events, repositories, tags, passes) in [
            (&[][..], &[][..], &[][..], true),
            (&["*"], &[], &[], true),
            (&["tag.*"], &["acme/*"], &["v*"], true),
            (&["manifest.pushed", "tag.moved"], &["other", "acme/**"], &["re:v[0-9.]+"], true),
            (&["tag.deleted"], &["acme/*"], &["v*"], false),
            (&["tag.*"], &["acme"], &["v*"], false),
            (&["tag.*"], &["acme/*"], &["latest"], false),
        ] {
            let filter = filter(events, repositories, tags).unwrap();
            let seen = filter.lets_pass(WebhookFormat::CloudEvents, &moved);
            assert_eq!(seen, passes, "{events:?} {repositories:?} {tags:?}");
            assert_eq!((filter.events().len(), filter.tags().len()), (events.len(), tags.len()));
        }
    }

    #[test]
    fn tags_bound_events_that_name_one_and_repositories_bound_all() {
        let format = WebhookFormat::CloudEvents;
        let deleted = event("manifest.deleted", Some("acme/app"), None);
        assert!(filter(&[], &[], &["v*"]).unwrap().lets_pass(format, &deleted));
        assert!(filter(&[], &["acme/*"], &["v*"]).unwrap().lets_pass(format, &deleted));
        let imported = event("import.finished", None, None);
        assert!(!filter(&[], &["acme/**"], &[]).unwrap().lets_pass(format, &imported));
        assert!(filter(&[], &["acme/**", "**"], &[]).unwrap().lets_pass(format, &imported));
    }

    #[test]
    fn formats_tell_of_what_they_have_words_for() {
        for (kind, cloudevents, dockerhub, distribution) in [
            ("manifest.pushed", true, false, true),
            ("tag.moved", true, true, false),
            ("tag.reverted", true, true, true),
            ("tag.deleted", true, false, true),
            ("manifest.deleted", true, false, true),
            ("repository.created", true, false, false),
            ("build.failed", true, false, false),
            ("webhook.test", true, true, true),
        ] {
            let event = event(kind, Some("a"), Some("b"));
            let seen = WebhookFormat::ALL.map(|(_, format)| Filter::default().lets_pass(format, &event));
            assert_eq!(seen, [cloudevents, dockerhub, distribution], "{kind}");
        }
    }

    #[test]
    fn endpoints_ignore_actions_and_media_types_that_are_exactly_these() {
        let text = |text: &str| vec![text.to_owned()];
        let format = WebhookFormat::Distribution;
        let mut pushed = event("manifest.pushed", Some("a"), None);
        pushed.media_type = Some("application/vnd.oci.image.manifest.v1+json".into());
        let deleted = event("tag.deleted", Some("a"), Some("b"));

        let no_pulls = Filter::default().ignoring(&[], &text("pull")).unwrap();
        assert!(no_pulls.lets_pass(format, &pushed) && no_pulls.lets_pass(format, &deleted));
        assert!(!no_pulls.lets_notice_pass("pull", None, "a", None));
        assert!(no_pulls.lets_notice_pass("mount", Some("application/octet-stream"), "a", None));

        let no_manifests =
            Filter::default().ignoring(&text("application/vnd.oci.image.manifest.v1+json"), &[]).unwrap();
        assert!(!no_manifests.lets_pass(format, &pushed) && no_manifests.lets_pass(format, &deleted));
        assert!(!Filter::default().ignoring(&[], &text("delete")).unwrap().lets_pass(format, &deleted));
        // A deletion has an empty media type there.
        assert!(!Filter::default().ignoring(&text(""), &[]).unwrap().lets_pass(format, &deleted));
    }

    #[test]
    fn filters_are_bounded() {
        let many = vec!["tag.moved"; FILTERS_MAX + 1];
        assert_eq!(filter(&many, &[], &[]), Err(FilterError::Many("events")));
        assert_eq!(filter(&[], &many, &[]), Err(FilterError::Many("repositories")));
        assert!(filter(&many[1..], &many[1..], &many[1..]).is_ok());
        assert!(matches!(filter(&[], &[], &["re:(a{99}){99}"]), Err(FilterError::Pattern(_))));
        assert!(matches!(filter(&[], &[&"a".repeat(257)], &[]), Err(FilterError::Pattern(_))));
        assert!(matches!(filter(&["tag.mvoed"], &[], &[]), Err(FilterError::Event(_))));
    }
}
