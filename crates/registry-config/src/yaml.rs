//! YAML text to a tree of nodes, under limits.
//!
//! This is the only file that knows the YAML library.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::node::{Node, Value, join};
use crate::problem::Problem;

/// The most bytes of a configuration file, and of a value in the environment.
pub const CONFIG_BYTES_MAX: usize = 256 << 10;

/// The most values in a configuration, counted after aliases are replaced by what they stand for.
pub const CONFIG_NODES_MAX: usize = 10_000;

/// How deep sections and lists may lie in each other.
pub const CONFIG_DEPTH_MAX: usize = 32;

/// How many brackets may be open at once in the text, quoted ones included. The library reads a whole document before it
/// gives anything away, in time that grows with the square of this.
const BRACKETS_OPEN_MAX: usize = 512;

/// Reads one document. An empty one is [`Value::Null`].
///
/// The text is read twice: first for the shape, in which the library says what is null, a list or a section; then along
/// that shape for the scalars as they were written, which it gives only to whoever asks for a text.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    if text.len() > CONFIG_BYTES_MAX {
        let wrong = format!("{} bytes", text.len());
        return Err(vec![Problem::new("", wrong, format!("at most {CONFIG_BYTES_MAX} bytes"))]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if brackets_open(text) > BRACKETS_OPEN_MAX {
        let expected = format!("at most {CONFIG_DEPTH_MAX} levels of nesting");
        return Err(vec![Problem::new("", "too many brackets are open", expected)]);
    }
    let nodes_left = Cell::new(CONFIG_NODES_MAX);
    let shape = ShapeSeed { nodes_left: &nodes_left, depth: 0 }
        .deserialize(serde_yaml_ng::Deserializer::from_str(text))
        .map_err(not_yaml)?;
    let twice = RefCell::new(Vec::new());
    let node = NodeSeed { shape: &shape, key: "", twice: &twice }
        .deserialize(serde_yaml_ng::Deserializer::from_str(text))
        .map_err(not_yaml)?;
    match twice.into_inner() {
        problems if problems.is_empty() => Ok(node),
        problems => Err(problems),
    }
}

/// The most brackets that are open anywhere.
fn brackets_open(text: &str) -> usize {
    let (mut open, mut most) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

fn not_yaml(error: serde_yaml_ng::Error) -> Vec<Problem> {
    vec![Problem::new("", format!("cannot be read: {error}"), "one YAML document")]
}

#[derive(Debug)]
enum Shape {
    Null,
    Scalar,
    Sequence(Vec<Shape>),
    Mapping(Vec<Shape>),
}

struct ShapeSeed<'a> {
    nodes_left: &'a Cell<usize>,
    depth: usize,
}

impl ShapeSeed<'_> {
    fn below<E: serde::de::Error>(&self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > CONFIG_DEPTH_MAX {
            return Err(E::custom(format_args!("more than {CONFIG_DEPTH_MAX} levels of nesting")));
        }
        Ok(ShapeSeed { nodes_left: self.nodes_left, depth })
    }
}

impl<'de> DeserializeSeed<'de> for ShapeSeed<'_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        let left = self.nodes_left.get().checked_sub(1);
        let too_many = || D::Error::custom(format_args!("more than {CONFIG_NODES_MAX} values"));
        self.nodes_left.set(left.ok_or_else(too_many)?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed<'_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag of its own")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Shape, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(self.below()?)? {
            items.push(item);
        }
        Ok(Shape::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Shape, A::Error> {
        let mut values = Vec::new();
        while mapping.next_key::<String>()?.is_some() {
            values.push(mapping.next_value_seed(self.below()?)?);
        }
        Ok(Shape::Mapping(values))
    }
}

struct NodeSeed<'a> {
    shape: &'a Shape,
    key: &'a str,
    twice: &'a RefCell<Vec<Problem>>,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        match self.shape {
            Shape::Null => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Node::default()),
            Shape::Scalar => deserializer.deserialize_str(self),
            Shape::Sequence(_) => deserializer.deserialize_seq(self),
            Shape::Mapping(_) => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same value again")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::scalar(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let Shape::Sequence(shapes) = self.shape else {
            return Err(A::Error::custom("a list where there was none"));
        };
        let mut items = Vec::new();
        for (index, shape) in shapes.iter().enumerate() {
            let key = format!("{}[{index}]", self.key);
            let seed = NodeSeed { shape, key: &key, twice: self.twice };
            items.extend(sequence.next_element_seed(seed)?);
        }
        // A sequence that is left before its end is an error of the library's.
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Node { value: Value::Sequence(items), variable: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Node, A::Error> {
        let Shape::Mapping(shapes) = self.shape else {
            return Err(A::Error::custom("a section where there was none"));
        };
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut shapes = shapes.iter();
        while let Some(name) = mapping.next_key::<String>()? {
            let key = join(self.key, &name);
            let shape = shapes.next().unwrap_or(&Shape::Null);
            let node = mapping.next_value_seed(NodeSeed { shape, key: &key, twice: self.twice })?;
            if entries.iter().any(|(other, _)| *other == name) {
                self.twice.borrow_mut().push(Problem::new(
                    key,
                    "given twice",
                    "each key once in its section",
                ));
            } else {
                entries.push((name, node));
            }
        }
        Ok(Node::mapping(merged(entries)))
    }
}

/// Replaces YAML's merge key `<<` by the entries that it names, as far as they are not given beside it.
fn merged(mut entries: Vec<(String, Node)>) -> Vec<(String, Node)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        parse(text).unwrap()
    }

    fn text_at<'a>(node: &'a Node, keys: &[&str]) -> &'a str {
        let node = keys.iter().try_fold(node, |node, key| node.get(key)).expect("the key is there");
        match &node.value {
            Value::Scalar(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scalars_stay_as_they_were_written() {
        for (written, kept) in [
            ("1.10", "1.10"),
            ("0755", "0755"),
            ("1e3", "1e3"),
            ("0x1F", "0x1F"),
            ("yes", "yes"),
            ("True", "True"),
            ("'~'", "~"),
            ("\"a b\"", "a b"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("!!str 5", "5"),
            (":5000", ":5000"),
            ("\"\"", ""),
            (".inf", ".inf"),
        ] {
            assert_eq!(text_at(&tree(&format!("a: {written}")), &["a"]), kept, "{written}");
        }
    }

    #[test]
    fn nothing_is_null_however_it_is_written() {
        for written in ["a:", "a: ~", "a: null", "a: Null", "a: # comment"] {
            assert_eq!(tree(written).get("a").unwrap().value, Value::Null, "{written}");
        }
        for document in ["", "---", "# only a comment\n", "\u{feff}"] {
            assert_eq!(tree(document).value, Value::Null, "{document:?}");
        }
    }

    #[test]
    fn aliases_and_merge_keys_are_resolved() {
        let node = tree("base: &b {x: 1.0, y: 2}\nmore: {<<: *b, y: 3}\nboth: {<<: [*b, {z: 4}]}\nsame: *b");
        assert_eq!(text_at(&node, &["more", "x"]), "1.0");
        assert_eq!(text_at(&node, &["more", "y"]), "3");
        assert_eq!(text_at(&node, &["both", "z"]), "4");
        assert_eq!(text_at(&node, &["same", "y"]), "2");
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_and_never_a_panic() {
        let deep = "{a: ".repeat(50_000);
        let nested = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        let many = format!("[{}]", "1,".repeat(CONFIG_NODES_MAX + 1));
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        let large = "x".repeat(CONFIG_BYTES_MAX + 1);
        for text in [
            deep.as_str(),
            &nested,
            &many,
            &bomb,
            &large,
            "a: [",
            "a: b: c",
            "\t",
            "a: &a [*a]",
            "? [a]\n: b",
        ] {
            let start: String = text.chars().take(30).collect();
            assert!(parse(text).is_err(), "{start}");
        }
        for text in
            ["a: *missing", "a: !mine x", "a: 1\n---\nb: 2", "\0", "a: \"\u{1}\"", "{", "%YAML 3.0\n---\na"]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_key_that_is_given_twice_is_named_with_its_path() {
        let problems = parse("http: {addr: a, addr: b}\nlog: 1\nlog: 2").unwrap_err();
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 2);
        assert!(text[0].starts_with("http.addr: given twice"), "{text:?}");
        assert!(text[1].starts_with("log: given twice"), "{text:?}");
    }
}
