//! Typed reading of the tree. What does not fit is noted, and reading goes on with the default.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::nearest::nearest;
use crate::node::{Node, Value, join};
use crate::problem::Problem;
use crate::scalar;
use crate::warning::Warning;

/// What was noted while reading.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Warning>>,
}

impl Notes {
    pub(crate) fn problem(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        // A section that is a list is met once for each of its keys.
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    pub(crate) fn warn(&self, warning: Warning) {
        self.warnings.borrow_mut().push(warning);
    }

    pub(crate) fn into_parts(self) -> (Vec<Problem>, Vec<Warning>) {
        (self.problems.into_inner(), self.warnings.into_inner())
    }
}

/// A place in the configuration, whether something is there or not.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    /// `None` if it is absent, empty or null: all three leave the default.
    node: Option<&'a Node>,
    key: String,
    notes: &'a Notes,
}

impl<'a> Field<'a> {
    pub(crate) fn root(tree: &'a Node, notes: &'a Notes) -> Field<'a> {
        Field::new(Some(tree), String::new(), notes)
    }

    fn new(node: Option<&'a Node>, key: String, notes: &'a Notes) -> Field<'a> {
        Field { node: node.filter(|node| !node.is_empty()), key, notes }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.node.is_some()
    }

    pub(crate) fn problem(&self, wrong: impl Into<String>, expected: impl Into<String>) {
        let problem = Problem::new(self.key.clone(), wrong, expected);
        let line = self.node.and_then(|node| node.line);
        self.notes.problem(problem.given_by(self.variable()).at_line(line));
    }

    /// The environment variable that gave what is here.
    pub(crate) fn variable(&self) -> Option<&str> {
        self.node.and_then(|node| node.variable.as_deref())
    }

    pub(crate) fn warn(&self, warning: Warning) {
        self.notes.warn(warning);
    }

    pub(crate) fn remark(&self, text: impl Into<String>) {
        self.notes.warn(Warning::Remark { key: self.key.clone(), text: text.into() });
    }

    /// The place of `name` in this section.
    pub(crate) fn get(&self, name: &str) -> Field<'a> {
        let key = join(&self.key, name);
        match self.node.map(|node| (node, &node.value)) {
            None => Field::new(None, key, self.notes),
            Some((node, Value::Mapping(_))) => Field::new(node.get(name), key, self.notes),
            Some((_, other)) => {
                self.problem(format!("is {}", other.describe()), "a section");
                Field::new(None, key, self.notes)
            }
        }
    }

    /// The same place without what is there.
    pub(crate) fn absent(&self) -> Field<'a> {
        Field::new(None, self.key.clone(), self.notes)
    }

    /// The names in this section with their places; also those that have no value.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Field<'a>)> {
        match self.node.map(|node| &node.value) {
            None => Vec::new(),
            Some(Value::Mapping(entries)) => {
                let field = |name: &str, node| Field::new(Some(node), join(&self.key, name), self.notes);
                entries.iter().map(|(name, node)| (name.as_str(), field(name, node))).collect()
            }
            Some(other) => {
                self.problem(format!("is {}", other.describe()), "a section");
                Vec::new()
            }
        }
    }

    /// The items of this list. A single value is a list of one.
    pub(crate) fn items(&self) -> Vec<Field<'a>> {
        match self.node.map(|node| (node, &node.value)) {
            None => Vec::new(),
            Some((_, Value::Sequence(items))) => {
                let place =
                    |(index, node)| Field::new(Some(node), format!("{}[{index}]", self.key), self.notes);
                items.iter().enumerate().map(place).collect()
            }
            Some((_, Value::Scalar(_))) => vec![self.clone()],
            Some((_, other)) => {
                self.problem(format!("is {}", other.describe()), "a list");
                Vec::new()
            }
        }
    }

    /// The single value here as it was written, if there is one.
    pub(crate) fn scalar(&self) -> Option<&'a str> {
        match self.node.map(|node| &node.value) {
            Some(Value::Scalar(text)) => Some(text),
            _ => None,
        }
    }

    /// The single value here, without blanks at its ends, understood by `parse`. `expected` says what it understands.
    pub(crate) fn parse<T>(&self, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.parse_as_written(expected, |text| parse(text.trim()))
    }

    fn parse_as_written<T>(&self, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let Some(text) = self.scalar() else {
            if let Some(node) = self.node {
                self.problem(format!("is {}", node.value.describe()), expected);
            }
            return None;
        };
        let parsed = parse(text);
        if parsed.is_none() {
            self.problem(format!("is {}", quoted(text)), expected);
        }
        parsed
    }

    pub(crate) fn text(&self) -> Option<String> {
        self.parse_as_written("a text", |text| Some(text.to_owned()))
    }

    /// The text here as a path.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.parse("a path", |text| Some(PathBuf::from(text)))
    }

    /// As [`Self::path`], with a problem if there is nothing.
    pub(crate) fn required_path(&self, expected: &str) -> Option<PathBuf> {
        if !self.is_set() {
            self.problem("is missing", expected);
        }
        self.parse(expected, |text| Some(PathBuf::from(text)))
    }

    /// As [`Self::text`], with a problem if there is nothing.
    pub(crate) fn required(&self, expected: &str) -> Option<String> {
        if !self.is_set() {
            self.problem("is missing", expected);
        }
        self.parse_as_written(expected, |text| Some(text.to_owned()))
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.items().iter().filter_map(|item| item.text()).collect()
    }

    pub(crate) fn flag(&self, default: bool) -> bool {
        self.parse("true or false", scalar::boolean).unwrap_or(default)
    }

    /// Zero is allowed only where `least` is zero.
    pub(crate) fn duration(&self, default: Duration, least: Duration) -> Duration {
        let expected = match least.is_zero() {
            true => "a duration such as 10s, 5m or 168h".to_owned(),
            false => format!("a duration such as 10s, 5m or 168h, at least {least:?}"),
        };
        let parse = |text: &str| scalar::duration(text).filter(|duration| *duration >= least);
        let Some(duration) = self.parse(&expected, parse) else { return default };
        let is_bare_number =
            self.scalar().is_some_and(|text| text.trim().bytes().all(|byte| byte.is_ascii_digit()));
        if is_bare_number && !duration.is_zero() {
            self.remark(format!("a bare number counts nanoseconds, so this is {duration:?}"));
        }
        duration
    }

    pub(crate) fn integer(&self, default: u64, range: RangeInclusive<u64>) -> u64 {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let parse = |text: &str| text.parse().ok().filter(|number| range.contains(number));
        self.parse(&expected, parse).unwrap_or(default)
    }

    pub(crate) fn size(&self, default: u64, range: RangeInclusive<u64>) -> u64 {
        let expected = format!("bytes, from {} to {}, or such as 64KiB or 4MiB", range.start(), range.end());
        let parse = |text: &str| scalar::size(text).filter(|size| range.contains(size));
        self.parse(&expected, parse).unwrap_or(default)
    }

    /// One of some words, in any case.
    pub(crate) fn choice<T: Clone>(&self, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let find = |text: &str| words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        let near = self.scalar().and_then(|text| nearest(text, names.iter().copied()));
        let meant = near.map(|word| format!(" (was {word} meant?)")).unwrap_or_default();
        let expected = format!("one of {}{meant}", names.join(", "));
        self.parse(&expected, |text| find(text).map(|(_, value)| value.clone()))
    }
}

/// How much of a wrong value a message repeats.
const QUOTED_CHARS_MAX: usize = 80;

/// A value for a message, in one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut start: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}
