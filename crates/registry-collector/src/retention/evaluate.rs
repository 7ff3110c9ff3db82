//! What becomes of an image. No I/O, no clock.

use std::time::Duration;

use registry_metadata::{Hold, Image};
use registry_types::{
    RepositoryName, Version,
    retention::{Action, Order, Policy, Rule, Since, State},
};

use super::newest::{Key, Newest};

/// What becomes of an image, and which rule decides it: by its number among those of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Kept(Why),
    /// It goes, by this rule.
    Expired {
        /// The rule as reports call it.
        rule: String,
    },
}

/// Why an image stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A rule keeps it: this one, as reports call it.
    Rule(String),
    /// No rule is about it.
    NoRule,
    /// It can not go, whatever the rules say.
    Held(Hold),
}

/// The times that rules count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) now_ms: i64,
    /// Since when pulls are known. What was not pulled since then may have been pulled right before.
    pub(super) pulls_since_ms: i64,
}

/// The rules about a repository, and what they have counted.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    rules: Vec<Counting<'a>>,
}

#[derive(Debug)]
struct Counting<'a> {
    rule: &'a Rule,
    name: String,
    newest: Option<Newest>,
}

impl<'a> Rules<'a> {
    /// The rules of all policies about a repository, in their order.
    pub(super) fn about(repository: &RepositoryName, policies: &'a [Policy]) -> Rules<'a> {
        let is_about =
            |policy: &Policy| policy.repositories.iter().any(|pattern| pattern.matches(repository.as_str()));
        let policies = policies.iter().enumerate().filter(|(_, policy)| is_about(policy));
        let named = policies.flat_map(|(number, policy)| {
            let name = move |(place, rule): (usize, &'a Rule)| Counting {
                rule,
                name: rule.name.clone().unwrap_or_else(|| format!("policies[{number}].rules[{place}]")),
                newest: rule.count.map(Newest::new),
            };
            policy.rules.iter().enumerate().map(name)
        });
        Rules { rules: named.collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether all images have to be [counted](Self::count) before they can be judged.
    pub(super) fn must_count(&self) -> bool {
        self.rules.iter().any(|rule| rule.newest.is_some())
    }

    pub(super) fn count(&mut self, image: &Image) {
        for Counting { rule, newest, .. } in &mut self.rules {
            if let Some(newest) = newest
                && let Some(key) = selected(rule, image)
            {
                newest.see(image.digest, key);
            }
        }
    }

    /// What holds it, then rules that keep, then rules that expire, each in their order.
    pub(super) fn judge(&self, image: &Image, times: Times) -> Verdict {
        let decides = |action: Action| {
            self.rules.iter().find(|rule| rule.rule.action == action && rule.is_true(image, times))
        };
        if let Some(hold) = image.hold {
            return Verdict::Kept(Why::Held(hold));
        }
        if let Some(keeps) = decides(Action::Keep) {
            return Verdict::Kept(Why::Rule(keeps.name.clone()));
        }
        match decides(Action::Expire) {
            Some(expires) => Verdict::Expired { rule: expires.name.clone() },
            None => Verdict::Kept(Why::NoRule),
        }
    }
}

impl Counting<'_> {
    fn is_true(&self, image: &Image, times: Times) -> bool {
        let is_newest = self.newest.as_ref().map(|newest| newest.contains(&image.digest));
        let counts = match self.rule.action {
            Action::Keep => is_newest != Some(false),
            Action::Expire => is_newest != Some(true),
        };
        counts && selected(self.rule, image).is_some() && is_of_age(self.rule, image, times)
    }
}

/// Whether a rule is about an image, but for its age, and what it counts by then.
fn selected(rule: &Rule, image: &Image) -> Option<Key> {
    let time = match rule.by {
        Order::Pushed | Order::Semver => image.pushed_at_ms,
        Order::Pulled => pulled_ms(image),
        Order::Created => image.created_at_ms,
    };
    let Some(tag) = &image.tag else {
        return rule.means_untagged().then_some(Key::Time(time));
    };
    let means = |pattern: &registry_types::Pattern| pattern.matches(tag.as_str());
    let is_named = rule.tags.is_empty() || rule.tags.iter().any(means);
    if rule.state == State::Untagged || !is_named || rule.except.iter().any(means) {
        return None;
    }
    let version = (rule.semver.is_some() || rule.by == Order::Semver).then(|| Version::of(tag));
    let version = match version {
        None => None,
        Some(version) => Some(version?),
    };
    if let (Some(range), Some(version)) = (&rule.semver, &version)
        && !range.contains(version)
    {
        return None;
    }
    match (rule.by, version) {
        (Order::Semver, Some(version)) => Some(Key::Version(version)),
        _ => Some(Key::Time(time)),
    }
}

fn is_of_age(rule: &Rule, image: &Image, times: Times) -> bool {
    let since_ms = match rule.since {
        Since::Pushed => image.pushed_at_ms,
        Since::Created => image.created_at_ms,
        Since::Pulled => pulled_ms(image).max(times.pulls_since_ms),
    };
    let age = Duration::from_millis(u64::try_from(times.now_ms.saturating_sub(since_ms)).unwrap_or(0));
    rule.older_than.is_none_or(|least| age >= least) && rule.newer_than.is_none_or(|most| age < most)
}

/// A push is as good as a pull: nobody can have pulled before it what was pushed just now.
fn pulled_ms(image: &Image) -> i64 {
    image.pulled_at_ms.unwrap_or(i64::MIN).max(image.pushed_at_ms)
}

#[cfg(test)]
mod tests;
