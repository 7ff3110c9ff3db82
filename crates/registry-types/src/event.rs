//! What can happen in a registry, and which of it is meant.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// Makes an enum of kinds with their names.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)+) => {
        /// The kind of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])* $kind,)+
        }

        impl EventKind {
            /// All kinds.
            pub const ALL: &[EventKind] = &[$(EventKind::$kind),+];

            /// Its name: `tag.moved`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(EventKind::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// A manifest was pushed, perhaps once more.
    ManifestPushed = "manifest.pushed",
    /// A manifest was deleted.
    ManifestDeleted = "manifest.deleted",
    /// A deleted manifest is there again.
    ManifestRestored = "manifest.restored",
    /// A tag leads to another manifest than before, or is new.
    TagMoved = "tag.moved",
    /// A tag was deleted.
    TagDeleted = "tag.deleted",
    /// A deleted tag is there again.
    TagRestored = "tag.restored",
    /// A tag was set to what it led to before.
    TagReverted = "tag.reverted",
    /// A repository has its first manifest.
    RepositoryCreated = "repository.created",
    /// A repository was deleted.
    RepositoryDeleted = "repository.deleted",
    /// A deleted repository is there again.
    RepositoryRestored = "repository.restored",
    /// Settings of a namespace or repository changed.
    SettingsChanged = "settings.changed",
    /// A user became a member of an organisation or team.
    MemberAdded = "member.added",
    /// A user is no member any more.
    MemberRemoved = "member.removed",
    /// A right was granted.
    GrantAdded = "grant.added",
    /// A right was taken back.
    GrantRemoved = "grant.removed",
    /// A quota is used up.
    QuotaCrossed = "quota.crossed",
    /// A tag of a mirror follows its upstream.
    MirrorTagMoved = "mirror.tag.moved",
    /// An import ended.
    ImportFinished = "import.finished",
    /// A base image of a build changed.
    BaseChanged = "base.changed",
    /// A build waits.
    BuildQueued = "build.queued",
    /// A build began.
    BuildStarted = "build.started",
    /// A build ended well.
    BuildSucceeded = "build.succeeded",
    /// A build failed.
    BuildFailed = "build.failed",
    /// A user ended a build.
    BuildCanceled = "build.canceled",
    /// A build took longer than it may.
    BuildTimedOut = "build.timedout",
    /// The worker of a build was lost too often.
    BuildLost = "build.lost",
    /// A newer build of the same took the place of this one.
    BuildSuperseded = "build.superseded",
    /// A build was not begun, for a reason.
    BuildSkipped = "build.skipped",
    /// A user asked a webhook for a sign of life.
    WebhookTest = "webhook.test",
}

/// A text is no kind of event.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("there is no event {0:?}")]
pub struct ParseEventKindError(String);

/// How much of a wrong text an error repeats, in characters.
const SHOWN_CHARS: usize = 64;

impl FromStr for EventKind {
    type Err = ParseEventKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = EventKind::ALL.iter().find(|kind| kind.as_str() == text);
        found.copied().ok_or_else(|| ParseEventKindError(text.chars().take(SHOWN_CHARS).collect()))
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which events are meant: `tag.moved`, `tag.*` or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventFilter {
    /// All.
    All,
    /// Those whose names begin with this and a dot.
    Below(String),
    /// Those of one kind.
    One(EventKind),
}

impl EventFilter {
    /// Whether an event of this kind is meant.
    pub fn matches(&self, kind: EventKind) -> bool {
        match self {
            EventFilter::All => true,
            EventFilter::Below(group) => is_below(kind, group),
            EventFilter::One(one) => *one == kind,
        }
    }
}

fn is_below(kind: EventKind, group: &str) -> bool {
    kind.as_str().strip_prefix(group).is_some_and(|rest| rest.starts_with('.'))
}

/// A group that no kind belongs to is an error, as a kind is that does not exist.
impl FromStr for EventFilter {
    type Err = ParseEventKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(EventFilter::All);
        }
        let Some(group) = text.strip_suffix(".*") else { return text.parse().map(EventFilter::One) };
        match EventKind::ALL.iter().any(|kind| is_below(*kind, group)) {
            true => Ok(EventFilter::Below(group.to_owned())),
            false => Err(ParseEventKindError(text.chars().take(SHOWN_CHARS).collect())),
        }
    }
}

impl fmt::Display for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventFilter::All => f.write_str("*"),
            EventFilter::Below(group) => write!(f, "{group}.*"),
            EventFilter::One(kind) => kind.fmt(f),
        }
    }
}

/// How a receiver wants to be told of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WebhookFormat {
    /// CloudEvents 1.0 in structured mode.
    #[default]
    CloudEvents,
    /// The body of Docker Hub's webhooks: one call for each tag that moved.
    DockerHub,
    /// The envelope of the Go registry's notifications, with one event.
    Distribution,
}

impl WebhookFormat {
    /// All formats and their names.
    pub const ALL: [(&str, WebhookFormat); 3] = [
        ("cloudevents", WebhookFormat::CloudEvents),
        ("dockerhub", WebhookFormat::DockerHub),
        ("distribution", WebhookFormat::Distribution),
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            WebhookFormat::CloudEvents => "cloudevents",
            WebhookFormat::DockerHub => "dockerhub",
            WebhookFormat::Distribution => "distribution",
        }
    }
}

/// A text is no format.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("there is no format {0:?}: there are cloudevents, dockerhub and distribution")]
pub struct ParseWebhookFormatError(String);

impl FromStr for WebhookFormat {
    type Err = ParseWebhookFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = WebhookFormat::ALL.iter().find(|(name, _)| *name == text).map(|(_, format)| *format);
        found.ok_or_else(|| ParseWebhookFormatError(text.chars().take(SHOWN_CHARS).collect()))
    }
}

impl fmt::Display for WebhookFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_and_format_is_found_by_its_name() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        for (name, format) in WebhookFormat::ALL {
            assert_eq!((name.parse(), format.as_str()), (Ok(format), name));
        }
        assert!("tag.moved ".parse::<EventKind>().is_err());
        assert!("CloudEvents".parse::<WebhookFormat>().is_err());
    }

    #[test]
    fn filters_mean_kinds_and_groups() {
        for (filter, meant, others) in [
            ("*", &["tag.moved", "build.failed"][..], &[][..]),
            ("tag.*", &["tag.moved", "tag.deleted"], &["manifest.pushed", "mirror.tag.moved"]),
            ("mirror.*", &["mirror.tag.moved"], &["tag.moved"]),
            ("mirror.tag.*", &["mirror.tag.moved"], &["tag.moved"]),
            ("tag.moved", &["tag.moved"], &["tag.deleted"]),
        ] {
            let parsed: EventFilter = filter.parse().unwrap();
            assert_eq!(parsed.to_string(), filter);
            assert!(meant.iter().all(|kind| parsed.matches(kind.parse().unwrap())), "{filter}");
            assert!(!others.iter().any(|kind| parsed.matches(kind.parse().unwrap())), "{filter}");
        }
        for wrong in ["", "**", "tag", "tags.*", ".*", "tag.m*", "pull"] {
            assert!(wrong.parse::<EventFilter>().is_err(), "{wrong}");
        }
    }
}
