//! A configuration as a tree: what the file and the environment say, before anything is understood.

use std::rc::Rc;

/// One value, with where it comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// The environment variable that gave it; `None` for the file.
    pub(crate) variable: Option<Rc<str>>,
    /// The line of the file, counted from 1; `None` for the environment.
    pub(crate) line: Option<usize>,
}

/// Scalars stay the text that was written, so that `1.10` and `0755` are still that when a text is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Value {
    #[default]
    Null,
    Scalar(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn scalar(text: impl Into<String>) -> Node {
        Node { value: Value::Scalar(text.into()), ..Node::default() }
    }

    #[cfg(test)]
    pub(crate) fn mapping(entries: Vec<(String, Node)>) -> Node {
        Node { value: Value::Mapping(entries), ..Node::default() }
    }

    /// Whether it says nothing: a key without a value, an empty text, an empty section.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Scalar(text) => text.is_empty(),
            Value::Sequence(items) => items.is_empty(),
            Value::Mapping(entries) => entries.is_empty(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|(key, _)| key == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Notes for this node and everything below it which variable gave it.
    pub(crate) fn set_variable(&mut self, variable: &Rc<str>) {
        self.variable = Some(Rc::clone(variable));
        self.line = None;
        match &mut self.value {
            Value::Null | Value::Scalar(_) => {}
            Value::Sequence(items) => items.iter_mut().for_each(|item| item.set_variable(variable)),
            Value::Mapping(entries) => entries.iter_mut().for_each(|(_, node)| node.set_variable(variable)),
        }
    }
}

impl Value {
    /// What kind of value it is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Scalar(_) => "a single value",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a section",
        }
    }
}

/// The key path of `name` below `parent`: `http` and `tls` give `http.tls`.
pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}
