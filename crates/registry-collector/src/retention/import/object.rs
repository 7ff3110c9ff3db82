//! Reading JSON such that nothing in it is overlooked.

use std::cell::RefCell;

use serde_json::{Map, Value};

/// What was found out while reading.
#[derive(Debug, Default)]
pub(super) struct Notes {
    problems: RefCell<Vec<String>>,
    comments: RefCell<Vec<String>>,
}

impl Notes {
    pub(super) fn problem(&self, problem: String) {
        self.problems.borrow_mut().push(problem);
    }

    /// Said once, however often it is noted.
    pub(super) fn comment(&self, comment: impl Into<String>) {
        let (comment, mut comments) = (comment.into(), self.comments.borrow_mut());
        if !comments.contains(&comment) {
            comments.push(comment);
        }
    }

    pub(super) fn into_parts(self) -> (Vec<String>, Vec<String>) {
        (self.problems.into_inner(), self.comments.into_inner())
    }
}

/// An object and where it stands. A key that nobody asked for is a problem when it is [done](Self::done).
pub(super) struct Object<'a> {
    fields: Option<&'a Map<String, Value>>,
    path: String,
    pub(super) notes: &'a Notes,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Object<'a> {
    pub(super) fn of(value: &'a Value, path: &str, notes: &'a Notes) -> Object<'a> {
        let fields = value.as_object();
        if fields.is_none() {
            notes.problem(format!("{}: is no object", if path.is_empty() { "the file" } else { path }));
        }
        Object { fields, path: path.to_owned(), notes, asked: RefCell::default() }
    }

    fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn problem(&self, key: &str, wrong: impl AsRef<str>) {
        self.notes.problem(format!("{}: {}", self.place(key), wrong.as_ref()));
    }

    /// A comment about this place.
    pub(super) fn comment(&self, key: &str, text: &str) {
        self.notes.comment(format!("{}: {text}", self.place(key)));
    }

    /// What stands there, unless it is null.
    pub(super) fn get(&self, key: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(key);
        self.fields?.get(key).filter(|value| !value.is_null())
    }

    /// Knows keys that mean nothing here.
    pub(super) fn skip(&self, keys: &[&'static str]) {
        self.asked.borrow_mut().extend(keys);
    }

    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        let value = self.get(key)?;
        if !value.is_string() {
            self.problem(key, format!("{value} is no text"));
        }
        value.as_str()
    }

    pub(super) fn required_text(&self, key: &'static str) -> &'a str {
        if self.get(key).is_none() {
            self.problem(key, "is missing");
        }
        self.text(key).unwrap_or_default()
    }

    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        if !value.is_boolean() {
            self.problem(key, format!("{value} is neither true nor false"));
        }
        value.as_bool()
    }

    pub(super) fn object(&self, key: &'static str) -> Option<Object<'a>> {
        let value = self.get(key)?;
        Some(Object::of(value, &self.place(key), self.notes))
    }

    pub(super) fn list(&self, key: &'static str) -> Vec<&'a Value> {
        match self.get(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => items.iter().collect(),
            Some(other) => {
                self.problem(key, format!("{other} is no list"));
                Vec::new()
            }
        }
    }

    pub(super) fn objects(&self, key: &'static str) -> Vec<Object<'a>> {
        let item = |(index, value)| Object::of(value, &format!("{}[{index}]", self.place(key)), self.notes);
        self.list(key).into_iter().enumerate().map(item).collect()
    }

    pub(super) fn texts(&self, key: &'static str) -> Vec<&'a str> {
        let text = |value: &'a Value| {
            if !value.is_string() {
                self.problem(key, format!("{value} is no text"));
            }
            value.as_str()
        };
        self.list(key).into_iter().filter_map(text).collect()
    }

    /// All that means something was asked for.
    pub(super) fn done(&self) {
        let asked = self.asked.borrow();
        for key in self.fields.into_iter().flat_map(Map::keys) {
            if !asked.contains(&key.as_str()) {
                self.problem(key, "is not known");
            }
        }
    }
}
