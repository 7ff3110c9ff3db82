//! Which images are kept and which go: policies as data, and as the text that they are written in.
//!
//! What they come to for a given image is not decided here.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use registry_digest::{Algorithm, Digest};

use crate::{Pattern, VersionRange};

/// The most rules of all policies together.
pub const RULES_MAX: usize = 500;

/// The most images that a rule may count.
pub const COUNT_MAX: u32 = 10_000;

/// How exactly the last pull of an image is known: nothing that is younger can be decided by it.
pub const PULL_PRECISION: Duration = Duration::from_secs(2 * 60 * 60);

/// What becomes of the images of some repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// In which repositories: those that one of the patterns means.
    pub repositories: Vec<Pattern>,
    /// The rules, in the order in which they are named as the one that decides. An image that a rule keeps is kept, whatever
    /// others say; one that no rule is about is kept too.
    pub rules: Vec<Rule>,
}

/// What becomes of the images that all its conditions are true of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How reports call it.
    pub name: Option<String>,
    /// What becomes of them.
    pub action: Action,
    /// Whether it is about images with a tag.
    pub state: State,
    /// The tags that it is about: those that one of the patterns means; all if there is none.
    pub tags: Vec<Pattern>,
    /// The tags that it is not about.
    pub except: Vec<Pattern>,
    /// Only tags that are versions in this range.
    pub semver: Option<VersionRange>,
    /// Only what is at least so old …
    pub older_than: Option<Duration>,
    /// … and younger than this,
    pub newer_than: Option<Duration>,
    /// … counted from here.
    pub since: Since,
    /// Of what the conditions above, but for the age, are true of: if it keeps, only so many of the newest; if it expires, only
    /// the others.
    pub count: Option<u32>,
    /// Which are the newest.
    pub by: Order,
}

/// What becomes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It stays.
    Keep,
    /// It goes, unless a rule keeps it.
    Expire,
}

/// Whether a rule is about images with a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// With or without one.
    #[default]
    Any,
    /// With one.
    Tagged,
    /// Without one.
    Untagged,
}

/// What an age is counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// When the tag was pushed last, also without a change; of an image without a tag, when it was left without one, about.
    #[default]
    Pushed,
    /// When the image was pulled last, or pushed, if that was later.
    Pulled,
    /// When the image came into the repository.
    Created,
}

/// Which images are the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Pushed last.
    #[default]
    Pushed,
    /// Pulled last, or pushed, if that was later.
    Pulled,
    /// Came into the repository last.
    Created,
    /// Has the highest version; only tags that are versions are meant.
    Semver,
}

impl Rule {
    /// A rule about everything.
    pub fn new(action: Action) -> Rule {
        Rule {
            name: None,
            action,
            state: State::default(),
            tags: Vec::new(),
            except: Vec::new(),
            semver: None,
            older_than: None,
            newer_than: None,
            since: Since::default(),
            count: None,
            by: Order::default(),
        }
    }

    /// Whether it is about images without a tag as well.
    pub fn means_untagged(&self) -> bool {
        let names_tags = !self.tags.is_empty() || self.semver.is_some() || self.by == Order::Semver;
        self.state != State::Tagged && !names_tags
    }

    /// Whether it is about images with a tag as well.
    pub fn means_tagged(&self) -> bool {
        self.state != State::Untagged
    }

    /// Whether it would take everything away, at once.
    pub fn takes_everything(&self) -> bool {
        let has_condition = self.state == State::Untagged
            || !self.tags.is_empty()
            || self.semver.is_some()
            || self.older_than.is_some()
            || self.count.is_some();
        self.action == Action::Expire && !has_condition
    }
}

/// What an operator repeats to say that these policies, and no others, are meant: twelve hexadecimal digits.
pub fn fingerprint(policies: &[Policy]) -> String {
    let digest = Digest::of(Algorithm::Sha256, yaml(policies).as_bytes());
    digest.hex().chars().take(12).collect()
}

/// Policies as a section of the configuration.
pub fn yaml(policies: &[Policy]) -> String {
    let mut text = "retention:\n  policies:\n".to_owned();
    for policy in policies {
        let _ = write!(text, "{policy}");
    }
    text
}

/// An element of `retention.policies`, in lines that are indented by four spaces.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    - repositories: {}", list(&self.repositories))?;
        f.write_str("      rules:\n")?;
        self.rules.iter().try_for_each(|rule| write!(f, "{rule}"))
    }
}

/// An element of `rules`, in lines that are indented by eight spaces.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "        - action: {}", word(self.action == Action::Keep, "keep", "expire"))?;
        let mut line = |key: &str, value: Option<String>| match value {
            Some(value) => writeln!(f, "          {key}: {value}"),
            None => Ok(()),
        };
        line("name", self.name.as_deref().map(quoted))?;
        line(
            "state",
            match self.state {
                State::Any => None,
                State::Tagged => Some("tagged".to_owned()),
                State::Untagged => Some("untagged".to_owned()),
            },
        )?;
        line("tags", (!self.tags.is_empty()).then(|| list(&self.tags)))?;
        line("except", (!self.except.is_empty()).then(|| list(&self.except)))?;
        line("semver", self.semver.as_ref().map(|range| quoted(range.as_str())))?;
        line("older_than", self.older_than.map(age))?;
        line("newer_than", self.newer_than.map(age))?;
        line(
            "since",
            match self.since {
                Since::Pushed => None,
                Since::Pulled => Some("pulled".to_owned()),
                Since::Created => Some("created".to_owned()),
            },
        )?;
        let key = word(self.action == Action::Keep, "newest", "beyond");
        line(key, self.count.map(|count| count.to_string()))?;
        line(
            "by",
            match self.by {
                Order::Pushed => None,
                Order::Pulled => Some("pulled".to_owned()),
                Order::Created => Some("created".to_owned()),
                Order::Semver => Some("semver".to_owned()),
            },
        )
    }
}

fn word<'a>(is_first: bool, first: &'a str, second: &'a str) -> &'a str {
    if is_first { first } else { second }
}

fn list(patterns: &[Pattern]) -> String {
    let quoted: Vec<String> = patterns.iter().map(|pattern| quoted(pattern.as_str())).collect();
    format!("[{}]", quoted.join(", "))
}

/// A text as YAML in one line, whatever is in it.
fn quoted(text: &str) -> String {
    if text.contains(char::is_control) {
        let escaped: String = text.chars().flat_map(char::escape_unicode).collect();
        // YAML writes what Rust writes as \u{1f} with eight digits.
        let digits = |part: &str| format!("\\U{:0>8}", part.trim_end_matches('}'));
        let characters: String = escaped.split("\\u{").filter(|part| !part.is_empty()).map(digits).collect();
        return format!("\"{characters}\"");
    }
    format!("'{}'", text.replace('\'', "''"))
}

fn age(age: Duration) -> String {
    const DAY_SECS: u64 = 24 * 60 * 60;
    let (seconds, millis) = (age.as_secs(), age.subsec_millis());
    match () {
        () if millis > 0 => format!("{}ms", age.as_millis()),
        () if seconds > 0 && seconds % DAY_SECS == 0 => format!("{}d", seconds / DAY_SECS),
        () if seconds > 0 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        () => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        let keep = Rule {
            name: Some("it's kept".to_owned()),
            semver: Some(">=1".parse().unwrap()),
            count: Some(10),
            by: Order::Semver,
            ..Rule::new(Action::Keep)
        };
        let expire = Rule {
            tags: vec!["dev-*".parse().unwrap()],
            older_than: hours(24 * 30),
            since: Since::Pulled,
            ..Rule::new(Action::Expire)
        };
        Policy { repositories: vec!["team/**".parse().unwrap()], rules: vec![keep, expire] }
    }

    #[test]
    fn policies_are_written_as_an_operator_would() {
        let expected = "\
retention:
  policies:
    - repositories: ['team/**']
      rules:
        - action: keep
          name: 'it''s kept'
          semver: '>=1'
          newest: 10
          by: semver
        - action: expire
          tags: ['dev-*']
          older_than: 30d
          since: pulled
";
        assert_eq!(yaml(&[policy()]), expected);
    }

    #[test]
    fn a_fingerprint_is_of_all_that_is_said() {
        let before = fingerprint(&[policy()]);
        assert_eq!((before.len(), &before), (12, &fingerprint(&[policy()])));
        let mut changed = policy();
        changed.rules[1].older_than = Some(Duration::from_secs(1));
        assert_ne!(fingerprint(&[changed]), before);
        let mut turned = policy();
        turned.rules.reverse();
        assert_ne!(fingerprint(&[turned]), before);
    }

    #[test]
    fn a_rule_that_takes_everything_is_recognised() {
        let expire = Rule::new(Action::Expire);
        assert!(expire.takes_everything());
        assert!(Rule { state: State::Tagged, ..expire.clone() }.takes_everything());
        assert!(!Rule { state: State::Untagged, ..expire.clone() }.takes_everything());
        assert!(!Rule { count: Some(1), ..expire.clone() }.takes_everything());
        assert!(!Rule::new(Action::Keep).takes_everything());
    }

    #[test]
    fn ages_are_written_in_the_largest_unit_that_is_exact() {
        for (millis, expected) in
            [(0, "0s"), (1500, "1500ms"), (90_000, "90s"), (7_200_000, "2h"), (172_800_000, "2d")]
        {
            assert_eq!(age(Duration::from_millis(millis)), expected);
        }
    }
}
