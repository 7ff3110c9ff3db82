//! YAML text to a tree of nodes, under limits.
//!
//! This is the only file that knows the YAML library, of which it takes events one by one: so a limit ends the reading where
//! it is passed, scalars stay as they were written, and each value knows its line.

mod tree;

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use self::tree::{Weight, merged, weight};
use crate::node::{Node, Value, join};
use crate::problem::Problem;

/// The most bytes of a configuration file, and of a value in the environment.
pub const CONFIG_BYTES_MAX: usize = 256 << 10;

/// The most values in a configuration, counted after aliases are replaced by what they stand for.
pub const CONFIG_NODES_MAX: usize = 10_000;

/// How deep sections and lists may lie in each other, counted as [`CONFIG_NODES_MAX`].
pub const CONFIG_DEPTH_MAX: usize = 32;

/// The most bytes of all texts together, counted as [`CONFIG_NODES_MAX`].
const TEXT_BYTES_MAX: usize = 4 * CONFIG_BYTES_MAX;

/// Reads one document. An empty one is [`Value::Null`].
pub(crate) fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    if text.len() > CONFIG_BYTES_MAX {
        let wrong = format!("{} bytes", text.len());
        return Err(vec![Problem::new("", wrong, format!("at most {CONFIG_BYTES_MAX} bytes"))]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_characters(text).map_err(|problem| vec![problem])?;
    let mut reader = Reader::new(text);
    let node = reader.document().map_err(|problem| vec![problem])?;
    match reader.twice {
        problems if problems.is_empty() => Ok(node),
        problems => Err(problems),
    }
}

/// The text in quotes, if the whole value is one: `'a #b'`, `"a"`.
pub(crate) fn quoted_text(text: &str) -> Option<String> {
    if !is_quoted(text) {
        return None;
    }
    match parse(text).ok()?.value {
        Value::Scalar(inner) => Some(inner),
        _ => None,
    }
}

/// Whether the quote that a text begins with ends at its end: in `'a' #'` it does not.
fn is_quoted(text: &str) -> bool {
    let mut characters = text.char_indices().peekable();
    let Some((_, quote @ ('"' | '\''))) = characters.next() else { return false };
    while let Some((at, character)) = characters.next() {
        let escapes = match quote {
            '"' => character == '\\',
            _ => character == quote && characters.peek().is_some_and(|(_, next)| *next == quote),
        };
        if escapes {
            characters.next();
        } else if character == quote {
            return at + 1 == text.len();
        }
    }
    false
}

/// The library takes a NUL for the end of the text, and lets other control characters pass.
fn check_characters(text: &str) -> Result<(), Problem> {
    let is_wrong = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let Some((at, wrong)) = text.char_indices().find(|(_, c)| is_wrong(*c)) else { return Ok(()) };
    let line = text[..at].matches('\n').count() + 1;
    let problem = Problem::new("", format!("has the control character {wrong:?}"), "a text in YAML");
    Err(problem.at_line(Some(line)))
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// What aliases stand for, by the library's number for the anchor.
    anchors: BTreeMap<usize, (Node, Weight)>,
    total: Weight,
    /// Keys that are given twice.
    twice: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Reader {
            parser: Parser::new_from_str(text),
            anchors: BTreeMap::new(),
            total: Weight::default(),
            twice: Vec::new(),
        }
    }

    fn document(&mut self) -> Result<Node, Problem> {
        let mut document = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => return Ok(document.unwrap_or_default()),
                Event::DocumentStart(_) if document.is_some() => {
                    return Err(problem("there is a second document", span));
                }
                Event::DocumentStart(_) => {
                    let (event, span) = self.next()?;
                    document = Some(self.node(event, span, "", 0)?);
                }
                _ => return Err(problem("a value where there can be none", span)),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(not_yaml(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The value that begins with `event`, `depth` levels below the document.
    fn node(&mut self, event: Event<'a>, span: Span, key: &str, depth: usize) -> Result<Node, Problem> {
        if let Event::Alias(id) = event {
            return self.alias(id, span, depth);
        }
        let bytes = if let Event::Scalar(text, ..) = &event { text.len() } else { 0 };
        self.count(Weight { nodes: 1, bytes, levels: 0 }, span, depth)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (scalar(text.into_owned(), style, &tag, span)?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(&tag, "seq", span)?;
                (self.sequence(key, depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(&tag, "map", span)?;
                (self.mapping(key, depth)?, anchor)
            }
            _ => return Err(problem("a value is missing", span)),
        };
        let node = Node { value, variable: None, line: Some(span.start.line()) };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), weight(&node)));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, span: Span, depth: usize) -> Result<Node, Problem> {
        // What an alias stands for is known from its end on, so that it can not hold itself.
        let Some((node, weight)) = self.anchors.get(&id) else {
            return Err(problem("an alias stands for what it is part of", span));
        };
        let (node, weight) = (node.clone(), *weight);
        self.count(weight, span, depth)?;
        Ok(node)
    }

    fn count(&mut self, more: Weight, span: Span, depth: usize) -> Result<(), Problem> {
        self.total.nodes = self.total.nodes.saturating_add(more.nodes);
        self.total.bytes = self.total.bytes.saturating_add(more.bytes);
        let (what, most) = match () {
            () if depth + more.levels > CONFIG_DEPTH_MAX => ("levels of nesting", CONFIG_DEPTH_MAX),
            () if self.total.nodes > CONFIG_NODES_MAX => ("values", CONFIG_NODES_MAX),
            () if self.total.bytes > TEXT_BYTES_MAX => ("bytes of text", TEXT_BYTES_MAX),
            () => return Ok(()),
        };
        Err(problem(&format!("more than {most} {what}"), span))
    }

    fn sequence(&mut self, key: &str, depth: usize) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Sequence(items)),
                (event, span) => {
                    items.push(self.node(event, span, &format!("{key}[{}]", items.len()), depth + 1)?);
                }
            }
        }
    }

    fn mapping(&mut self, key: &str, depth: usize) -> Result<Value, Problem> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let name = match event {
                Event::MappingEnd => return Ok(Value::Mapping(merged(entries))),
                Event::Scalar(text, ..) => text.into_owned(),
                Event::Alias(id) => match self.alias(id, span, depth)?.value {
                    Value::Scalar(text) => text,
                    _ => return Err(problem("a key that is no text", span)),
                },
                _ => return Err(problem("a key that is no text", span)),
            };
            self.count(Weight { nodes: 0, bytes: name.len(), levels: 0 }, span, depth)?;
            let key = join(key, &name);
            let (event, value_span) = self.next()?;
            let node = self.node(event, value_span, &key, depth + 1)?;
            if entries.iter().any(|(other, _)| *other == name) {
                let twice = Problem::new(key, "given twice", "each key once in its section");
                self.twice.push(twice.at_line(Some(span.start.line())));
            } else {
                entries.push((name, node));
            }
        }
    }
}

/// Spec: YAML 1.2.2, section 10.3.2, as far as it says what is null; everything else stays a text.
fn scalar(
    text: String,
    style: ScalarStyle,
    tag: &Option<std::borrow::Cow<'_, Tag>>,
    span: Span,
) -> Result<Value, Problem> {
    let is_nothing = matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
    match tag.as_deref() {
        None if style == ScalarStyle::Plain && is_nothing => Ok(Value::Null),
        None => Ok(Value::Scalar(text)),
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "null" => Ok(Value::Null),
            "str" | "int" | "float" | "bool" => Ok(Value::Scalar(text)),
            _ => Err(own_tag(span)),
        },
        Some(_) => Err(own_tag(span)),
    }
}

fn check_tag(tag: &Option<std::borrow::Cow<'_, Tag>>, known: &str, span: Span) -> Result<(), Problem> {
    match tag.as_deref() {
        None => Ok(()),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == known => Ok(()),
        Some(_) => Err(own_tag(span)),
    }
}

fn own_tag(span: Span) -> Problem {
    problem("a value with a tag of its own", span)
}

fn not_yaml(error: &ScanError) -> Problem {
    let wrong = format!("{} in column {}", error.info(), error.marker().col() + 1);
    unreadable(&wrong, error.marker().line())
}

fn problem(wrong: &str, span: Span) -> Problem {
    unreadable(wrong, span.start.line())
}

fn unreadable(wrong: &str, line: usize) -> Problem {
    Problem::new("", format!("cannot be read: {wrong}"), "one YAML document").at_line(Some(line))
}

#[cfg(test)]
mod tests;
