use super::*;
use crate::config::{Config, Source};
use crate::node::{Node, Value};

/// Every place of the schema where a value is read, as a way of names; `[]` for the first item of a list.
fn leaves(keys: &'static [Key], before: &[&'static str], found: &mut Vec<(Vec<&'static str>, Kind)>) {
    for key in keys.iter().filter(|key| matches!(key.standing, Standing::Active)) {
        let mut way = before.to_vec();
        way.push(key.name);
        match key.kind {
            Kind::Section(below) | Kind::Choice(below) | Kind::Growing(below) => leaves(below, &way, found),
            Kind::Sections(below) => {
                way.push("[]");
                leaves(below, &way, found);
            }
            Kind::Scalar | Kind::Scalars | Kind::Map => found.push((way, key.kind)),
            Kind::Entry | Kind::Anything => {}
        }
    }
}

fn wrapped(way: &[&str], leaf: Node) -> Node {
    way.iter().rev().fold(leaf, |node, name| match *name {
        "[]" => Node { value: Value::Sequence(vec![node]), ..Node::default() },
        name => Node::mapping(vec![(name.to_owned(), node)]),
    })
}

#[test]
fn every_key_of_the_schema_is_read() {
    let mut found = Vec::new();
    leaves(ROOT, &[], &mut found);
    assert!(found.len() > 60, "{}", found.len());
    for (way, kind) in found {
        // The name of a middleware says which of its options are read.
        let depends = [&["auth", "silly"][..], &["middleware", "storage", "[]", "options"]];
        if depends.iter().any(|depends| way.starts_with(depends)) {
            continue;
        }
        let wrong = match kind {
            Kind::Map => Node::scalar("x"),
            _ => Node::mapping(vec![("x".to_owned(), Node::scalar("y"))]),
        };
        let source = Source { tree: wrapped(&way, wrong), default_root: Some("/r".into()) };
        let key = way.join(".").replace(".[]", "[0]");
        let problems = Config::read(source, Vec::new()).expect_err(&key);
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert!(keys.contains(&key.as_str()), "{key}: {keys:?}");
    }
}
