//! Policies of other registries as ours.
//!
//! What means the same is translated; where ours lets less go, a comment says so. What can not be said without letting more
//! go, and whatever is not known, is an error that names its place.

mod ecr;
mod gar;
mod gitlab;
mod harbor;
mod object;

use std::{fmt, str::FromStr, time::Duration};

use registry_types::{
    Pattern,
    retention::{COUNT_MAX, Policy, yaml},
};
use serde_json::Value;
use thiserror::Error;

use self::object::{Notes, Object};

/// The most bytes of a file with policies.
pub const IMPORT_BYTES_MAX: usize = 1024 * 1024;

/// Whose policies they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A lifecycle policy of Amazon's Elastic Container Registry.
    Ecr,
    /// Cleanup policies of Google's Artifact Registry.
    Gar,
    /// A tag retention policy of Harbor.
    Harbor,
    /// A cleanup policy of GitLab, as its API gives it: of a project, or that part alone.
    Gitlab,
}

impl FromStr for Source {
    type Err = ImportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "ecr" => Source::Ecr,
            "gar" => Source::Gar,
            "harbor" => Source::Harbor,
            "gitlab" => Source::Gitlab,
            _ => {
                let problem = format!("`{text}` is none of ecr, gar, harbor and gitlab");
                return Err(ImportError { problems: vec![problem] });
            }
        })
    }
}

/// Policies that were translated: as a section of the configuration by [`Display`](fmt::Display).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The policies.
    pub policies: Vec<Policy>,
    /// Where they are not quite the same, one sentence each.
    pub comments: Vec<String>,
}

/// Policies can not be translated.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", problems.join("\n"))]
pub struct ImportError {
    /// Everything that is in the way, each with its place.
    pub problems: Vec<String>,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for comment in &self.comments {
            writeln!(f, "# {}", comment.replace(char::is_control, " "))?;
        }
        f.write_str(&yaml(&self.policies))
    }
}

/// Translates policies, for the repositories that a pattern means.
///
/// # Errors
/// Names everything that can not be translated.
pub fn import(source: Source, json: &str, repositories: &Pattern) -> Result<Imported, ImportError> {
    let failed = |problem: String| ImportError { problems: vec![problem] };
    if json.len() > IMPORT_BYTES_MAX {
        return Err(failed(format!("the file has more than {IMPORT_BYTES_MAX} bytes")));
    }
    let document: Value =
        serde_json::from_str(json).map_err(|error| failed(format!("the file is no JSON: {error}")))?;
    let notes = Notes::default();
    let policies = match source {
        Source::Ecr => ecr::policies(&Object::of(&document, "", &notes), repositories),
        Source::Gar => gar::policies(&document, repositories, &notes),
        Source::Harbor => harbor::policies(&Object::of(&document, "", &notes), repositories),
        Source::Gitlab => gitlab::policies(&Object::of(&document, "", &notes), repositories),
    };
    let (problems, mut comments) = notes.into_parts();
    if !problems.is_empty() {
        return Err(ImportError { problems });
    }
    if policies.iter().all(|policy| policy.rules.is_empty()) {
        return Err(failed("there is no rule in it".to_owned()));
    }
    let each = "each tag is judged by itself: one that goes does not take along the others of its image, nor do they keep it";
    comments.insert(0, each.to_owned());
    if repositories.as_str() == "**" {
        comments.insert(0, "about all repositories; --repositories <pattern> says which".to_owned());
    }
    Ok(Imported { policies, comments })
}

/// A pattern of everything that begins with a text.
fn prefix(text: &str, object: &Object<'_>, key: &str) -> Option<Pattern> {
    pattern(&format!("{text}*"), object, key)
}

/// A glob that has nothing in it but stars and what may stand in names.
fn pattern(text: &str, object: &Object<'_>, key: &str) -> Option<Pattern> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/*".contains(&byte);
    let parsed = text.parse().ok().filter(|_| text.bytes().all(is_plain));
    if parsed.is_none() {
        object.problem(key, format!("`{text}` is no pattern of names and stars"));
    }
    parsed
}

/// A number of images, or of days.
fn number(object: &Object<'_>, key: &'static str) -> Option<u32> {
    let value = object.get(key)?;
    // Some write numbers as texts.
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let number = number
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (1..=COUNT_MAX).contains(number));
    if number.is_none() {
        object.problem(key, format!("{value} is no whole number from 1 to {COUNT_MAX}"));
    }
    number
}

fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 24 * 60 * 60)
}

/// `30d`, `12h`, `3600s`.
fn age(object: &Object<'_>, key: &'static str) -> Option<Duration> {
    let text = object.text(key)?;
    let seconds = || {
        let (count, unit) = text.split_at(text.len().checked_sub(1)?);
        let unit_secs = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            _ => return None,
        };
        count.parse::<u32>().ok().filter(|count| *count > 0).map(|count| u64::from(count) * unit_secs)
    };
    let age = seconds().map(Duration::from_secs);
    if age.is_none() {
        object.problem(key, format!("`{text}` is no age such as 30d"));
    }
    age
}

#[cfg(test)]
mod tests;
