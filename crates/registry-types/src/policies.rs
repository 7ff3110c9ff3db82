//! What an operator lets clients do with content: the configuration reads these, and the API keeps to them.

use std::{net::IpAddr, str::FromStr};

use thiserror::Error;

use registry_digest::Digest;

use crate::{Descriptor, Manifest, Network, RequiredChildren};

/// What a client without credentials may do, where there are users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnonymousAccess {
    /// Nothing.
    #[default]
    None,
    /// Read everything. `/v2/` is refused all the same: from that refusal `docker login` and `docker push` learn
    /// that there is something to log in to. Podman, containerd, skopeo, crane and others read without a login after it;
    /// dockerd does not, since it goes on after a `Basic` challenge only with credentials.
    Pull,
}

/// Which clients are sent to the store for the bytes of blobs, where the store can sign URLs: those that can reach it.
/// Manifests are never redirected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedirectPolicy {
    /// No client is.
    pub disabled: bool,
    /// Only clients of these networks are; all, if there are none.
    pub only: Vec<Network>,
    /// Clients of these networks are not.
    pub except: Vec<Network>,
}

impl RedirectPolicy {
    /// Sets [`disabled`](Self::disabled).
    pub fn disabled(self, disabled: bool) -> Self {
        RedirectPolicy { disabled, ..self }
    }

    /// Sets [`only`](Self::only).
    pub fn only(self, only: Vec<Network>) -> Self {
        RedirectPolicy { only, ..self }
    }

    /// Sets [`except`](Self::except).
    pub fn except(self, except: Vec<Network>) -> Self {
        RedirectPolicy { except, ..self }
    }

    /// Whether a client with this address is sent to the store. One whose address is not known counts as one of no
    /// network.
    pub fn applies_to(&self, client: Option<IpAddr>) -> bool {
        let is_in = |networks: &[Network]| {
            client.is_some_and(|client| networks.iter().any(|network| network.contains(client)))
        };
        !self.disabled && (self.only.is_empty() || is_in(&self.only)) && !is_in(&self.except)
    }
}

/// Which references of a manifest must have their target in the repository. A manifest that is accepted without one is
/// *sparse*: the reference is kept by digest and becomes a link when the content arrives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReferencePolicy {
    /// Whether an image's config and layers may be absent.
    pub layers_optional: bool,
    /// Which of an index's manifests must be there.
    pub children: RequiredChildren,
}

impl ReferencePolicy {
    /// Sets [`layers_optional`](Self::layers_optional).
    pub fn layers_optional(self, layers_optional: bool) -> Self {
        ReferencePolicy { layers_optional, ..self }
    }

    /// Sets [`children`](Self::children).
    pub fn children(self, children: RequiredChildren) -> Self {
        ReferencePolicy { children, ..self }
    }

    /// The blobs that must be there with a manifest.
    pub fn required_blobs(&self, manifest: &Manifest) -> Vec<Digest> {
        if self.layers_optional {
            return Vec::new();
        }
        manifest.blobs().filter(|blob| !blob.is_foreign()).map(|blob| blob.digest).collect()
    }

    /// The manifests that must be there with an index.
    pub fn required_children(&self, manifest: &Manifest) -> Vec<Digest> {
        let is_required = |child: &&Descriptor| match &self.children {
            RequiredChildren::All => true,
            RequiredChildren::None => false,
            RequiredChildren::Platforms(platforms) => child.platform.as_ref().is_some_and(|platform| {
                platforms.iter().any(|required| {
                    required.os == platform.os && required.architecture == platform.architecture
                })
            }),
        };
        manifest.child_manifests().filter(is_required).map(|child| child.digest).collect()
    }
}

/// A regular expression that matches anywhere in a URL, without Unicode classes.
#[derive(Clone, Debug)]
pub struct UrlPattern(regex_lite::Regex);

/// A text is no regular expression.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct ParseUrlPatternError(#[from] regex_lite::Error);

impl UrlPattern {
    /// Whether it matches somewhere in a URL.
    pub fn matches(&self, url: &str) -> bool {
        self.0.is_match(url)
    }
}

impl FromStr for UrlPattern {
    type Err = ParseUrlPatternError;

    fn from_str(text: &str) -> Result<UrlPattern, ParseUrlPatternError> {
        Ok(UrlPattern(regex_lite::Regex::new(text)?))
    }
}

impl PartialEq for UrlPattern {
    fn eq(&self, other: &UrlPattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for UrlPattern {}

/// Which URLs the descriptors of a manifest may name. As in the Go registry, none unless something is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UrlPolicy {
    /// A URL must match one of these.
    pub allow: Vec<UrlPattern>,
    /// A URL must match none of these.
    pub deny: Vec<UrlPattern>,
}

impl UrlPolicy {
    /// Sets [`allow`](Self::allow).
    pub fn allow(self, allow: Vec<UrlPattern>) -> Self {
        UrlPolicy { allow, ..self }
    }

    /// Sets [`deny`](Self::deny).
    pub fn deny(self, deny: Vec<UrlPattern>) -> Self {
        UrlPolicy { deny, ..self }
    }

    /// Whether a descriptor may name this URL: http or https, without a fragment, allowed and not denied.
    pub fn allows(&self, url: &str) -> bool {
        let is_web = url.starts_with("http://") || url.starts_with("https://");
        let is_one_of = |patterns: &[UrlPattern]| patterns.iter().any(|pattern| pattern.matches(url));
        is_web && !url.contains('#') && is_one_of(&self.allow) && !is_one_of(&self.deny)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_follow_the_network() {
        let (near, far) = ("10.1.2.3".parse().ok(), "192.0.2.1".parse().ok());
        let near_network = || vec!["10.0.0.0/8".parse().unwrap()];
        let all = RedirectPolicy::default();
        let only = RedirectPolicy { only: near_network(), ..RedirectPolicy::default() };
        let except = RedirectPolicy { except: near_network(), ..RedirectPolicy::default() };
        let none = RedirectPolicy { disabled: true, only: near_network(), ..RedirectPolicy::default() };
        for (policy, expected) in [
            (all, [true, true, true]),
            (only, [true, false, false]),
            (except, [false, true, true]),
            (none, [false, false, false]),
        ] {
            assert_eq!([near, far, None].map(|client| policy.applies_to(client)), expected, "{policy:?}");
        }
    }

    #[test]
    fn urls_are_refused_unless_allowed() {
        let pattern = |text: &str| text.parse::<UrlPattern>().unwrap();
        let url = "https://mirror.example/layer";
        assert!(!UrlPolicy::default().allows(url));
        let policy = UrlPolicy { allow: vec![pattern("^https://mirror")], deny: vec![pattern("secret")] };
        assert!(policy.allows(url));
        assert!(!policy.allows("https://mirror.example/secret"));
        assert!(!policy.allows("https://mirror.example/layer#x"));
        assert!(!policy.allows("file:///https://mirror"));
    }
}
