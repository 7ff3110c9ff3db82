//! Warnings about keys that have no effect.

use crate::nearest::nearest;
use crate::node::{Node, Value, join};
use crate::schema::{Key, Kind, ROOT, Standing};
use crate::warning::Warning;

/// Compares the tree with the schema. Where there is another kind of value than the schema has, nothing is said: that is
/// for the reader of the section.
pub(crate) fn report(tree: &Node, warnings: &mut Vec<Warning>) {
    section(tree, "", ROOT, Others::Unknown, warnings);
}

/// What is said about names that a section does not know.
#[derive(Clone, Copy)]
enum Others {
    Unknown,
    NotActive,
    /// Its reader refuses them.
    Nothing,
}

fn visit(node: &Node, key: &str, kind: Kind, warnings: &mut Vec<Warning>) {
    match kind {
        Kind::Scalar | Kind::Scalars | Kind::Map | Kind::Entry | Kind::Anything => {}
        Kind::Section(keys) => section(node, key, keys, Others::Unknown, warnings),
        Kind::Choice(keys) => section(node, key, keys, Others::Nothing, warnings),
        Kind::Growing(keys) => section(node, key, keys, Others::NotActive, warnings),
        Kind::Sections(keys) => {
            let Value::Sequence(items) = &node.value else { return };
            for (index, item) in items.iter().enumerate() {
                section(item, &format!("{key}[{index}]"), keys, Others::Unknown, warnings);
            }
        }
    }
}

fn section(node: &Node, path: &str, keys: &[Key], others: Others, warnings: &mut Vec<Warning>) {
    let Value::Mapping(entries) = &node.value else { return };
    for (name, child) in entries {
        let path = join(path, name);
        match keys.iter().find(|key| key.name == name) {
            Some(key) => {
                warnings.extend(standing(key.standing, &path, child));
                visit(child, &path, key.kind, warnings);
            }
            None => match others {
                Others::Nothing => {}
                Others::Unknown => warnings.push(unknown(path, name, child, keys)),
                Others::NotActive => warnings.push(match unknown(path, name, child, keys) {
                    Warning::UnknownKey { key, variable, nearest: None } => {
                        Warning::NotActive { key, variable }
                    }
                    misspelt => misspelt,
                }),
            },
        }
    }
}

fn standing(standing: Standing, path: &str, node: &Node) -> Option<Warning> {
    if node.is_empty() {
        return None;
    }
    let key = path.to_owned();
    let variable = variable(node);
    match standing {
        Standing::Active => None,
        Standing::NotActive => Some(Warning::NotActive { key, variable }),
        Standing::NotNeeded(reason) => Some(Warning::NotNeeded { key, variable, reason: reason.to_owned() }),
        Standing::Deprecated(instead) => Some(Warning::Deprecated { key, instead: instead.to_owned() }),
    }
}

fn unknown(path: String, name: &str, node: &Node, keys: &[Key]) -> Warning {
    let parent = path[..path.len() - name.len()].to_owned();
    let nearest = nearest(name, keys.iter().map(|key| key.name)).map(|known| format!("{parent}{known}"));
    Warning::UnknownKey { key: path, variable: variable(node), nearest }
}

/// The variable that gave a value; for a section that one variable or several gave in parts, the first of them.
fn variable(node: &Node) -> Option<String> {
    let below = || match &node.value {
        Value::Null | Value::Scalar(_) => None,
        Value::Sequence(items) => items.iter().find_map(variable),
        Value::Mapping(entries) => entries.iter().find_map(|(_, node)| variable(node)),
    };
    node.variable.as_deref().map(str::to_owned).or_else(below)
}
