//! Rules that an operator sets and more than one layer knows: the configuration reads them, a layer below keeps to them.

use crate::{MediaType, Pattern, Platform, Tag};

/// What the repositories whose names begin with a prefix may hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// How their names begin, such as `team/`; empty for all repositories.
    pub prefix: String,
    /// How many bytes: of blobs that manifests refer to, and of manifests, each once. None is without a limit.
    pub bytes_max: Option<u64>,
    /// How many bytes are held beside those: by unfinished uploads, by blobs that no manifest refers to, by what was deleted
    /// and can be restored. None is without a limit.
    pub held_max: Option<u64>,
    /// How many tags. None is without a limit.
    pub tags_max: Option<u64>,
}

impl Quota {
    /// Whether it limits a repository.
    pub fn holds_for(&self, repository: &str) -> bool {
        repository.starts_with(&self.prefix)
    }
}

/// Tags that are never moved or deleted once they are set: those that one pattern of each list means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImmutableTags {
    /// In which repositories.
    pub repositories: Vec<Pattern>,
    /// Which tags.
    pub tags: Vec<Pattern>,
}

impl ImmutableTags {
    /// Whether a tag of a repository is one of them.
    pub fn has(&self, repository: &str, tag: &Tag) -> bool {
        let is_meant =
            |patterns: &[Pattern], name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        is_meant(&self.repositories, repository) && is_meant(&self.tags, tag.as_str())
    }
}

/// Which of an index's manifests must be there when it is pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequiredChildren {
    /// All.
    #[default]
    All,
    /// None.
    None,
    /// Those for one of these platforms (architecture and operating system are compared).
    Platforms(Vec<Platform>),
}

/// Of what kind an image is, by its config. Source: the Go registry's `policy.repository.classes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestClass {
    /// What containers are made of.
    Image,
    /// What a docker daemon is extended by.
    Plugin,
}

impl ManifestClass {
    /// The kind of an image with a config of this type; none if it is of neither.
    pub fn of_config(media_type: &MediaType) -> Option<ManifestClass> {
        if [MediaType::OCI_CONFIG, MediaType::DOCKER_CONFIG].contains(media_type) {
            return Some(ManifestClass::Image);
        }
        (*media_type == MediaType::DOCKER_PLUGIN_CONFIG).then_some(ManifestClass::Plugin)
    }
}

/// What a server asks of its clients, if it knows authorities of their certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// A certificate that verifies.
    #[default]
    Required,
    /// A certificate that verifies, or none.
    IfGiven,
    /// A certificate, by any authority: a proxy in front may look at it.
    RequiredUnverified,
    /// A certificate by any authority, or none.
    IfGivenUnverified,
}

/// The lowest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinimumVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}
