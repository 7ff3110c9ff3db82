//! The tree that a document becomes: how large it is, and what merge keys add to it.

use crate::node::{Node, Value};

/// How large a tree is.
#[derive(Clone, Copy, Default)]
pub(super) struct Weight {
    pub(super) nodes: usize,
    pub(super) bytes: usize,
    pub(super) levels: usize,
}

pub(super) fn weight(node: &Node) -> Weight {
    let below = |nodes: &mut dyn Iterator<Item = &Node>| {
        nodes.map(weight).fold(Weight { nodes: 1, bytes: 0, levels: 0 }, |sum, more| Weight {
            nodes: sum.nodes + more.nodes,
            bytes: sum.bytes + more.bytes,
            levels: sum.levels.max(more.levels + 1),
        })
    };
    match &node.value {
        Value::Null => below(&mut std::iter::empty()),
        Value::Scalar(text) => Weight { bytes: text.len(), ..below(&mut std::iter::empty()) },
        Value::Sequence(items) => below(&mut items.iter()),
        Value::Mapping(entries) => {
            let weight = below(&mut entries.iter().map(|(_, node)| node));
            let names: usize = entries.iter().map(|(name, _)| name.len()).sum();
            Weight { bytes: weight.bytes + names, ..weight }
        }
    }
}

/// Replaces YAML's merge key `<<` by the entries that it names, as far as they are not given beside it.
pub(super) fn merged(mut entries: Vec<(String, Node)>) -> Vec<(String, Node)> {
    let Some(index) = entries.iter().position(|(name, _)| name == "<<") else { return entries };
    let sources = match entries[index].1.value.clone() {
        Value::Mapping(source) => vec![source],
        Value::Sequence(items) => items.into_iter().filter_map(mapping_entries).collect(),
        _ => return entries,
    };
    entries.remove(index);
    for (name, node) in sources.into_iter().flatten() {
        if !entries.iter().any(|(other, _)| *other == name) {
            entries.push((name, node));
        }
    }
    entries
}

fn mapping_entries(node: Node) -> Option<Vec<(String, Node)>> {
    match node.value {
        Value::Mapping(entries) => Some(entries),
        _ => None,
    }
}
