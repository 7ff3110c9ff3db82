//! Environment variables laid over the tree of the file.
//!
//! `REGISTRY_HTTP_TLS_KEY=/key.pem` sets `http.tls.key`. A value is a text as it stands, unless the key is a section or a
//! list, whose value is YAML, or the whole value is in quotes as YAML writes them. A variable that names a section replaces
//! it whole; a number is an index into a list, and the one after the last appends. Shorter names are applied before longer
//! ones, so a replaced section can be filled by further variables.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::nearest::nearest;
use crate::node::{Node, Value, join};
use crate::problem::Problem;
use crate::schema::{Key, Kind, ROOT};
use crate::warning::Warning;
use crate::yaml;

const PREFIX: &str = "REGISTRY_";

/// The most parts of a variable's name; more than any key has.
const VARIABLE_PARTS_MAX: usize = 32;

/// The most variables that are looked at.
pub const VARIABLES_MAX: usize = 4096;

/// Variables that tell the program something, and are no keys.
const OF_THE_PROGRAM: [&str; 2] = ["REGISTRY_CONFIGURATION_PATH", "REGISTRY_RUN_AS"];

/// Applies all variables that begin with `REGISTRY_`.
pub(crate) fn apply(
    tree: &mut Node,
    variables: impl IntoIterator<Item = (String, String)>,
    warnings: &mut Vec<Warning>,
    problems: &mut Vec<Problem>,
) {
    let mut ours: Vec<(String, String)> =
        variables.into_iter().filter(|(name, value)| concerns_us(name, value)).take(VARIABLES_MAX).collect();
    ours.sort_by(|(a, _), (b, _)| by_parts(a, b));
    for (variable, value) in &ours {
        match set(tree, variable, value) {
            Ok(()) => {}
            Err(Refusal::Unknown { nearest }) => {
                warnings.push(Warning::UnknownVariable { variable: variable.clone(), nearest });
            }
            Err(Refusal::Wrong(problem)) => problems.push(problem.given_by(Some(variable))),
        }
    }
}

fn concerns_us(name: &str, value: &str) -> bool {
    name.starts_with(PREFIX) && !OF_THE_PROGRAM.contains(&name) && !is_from_kubernetes(name, value)
}

/// Kubernetes gives every container variables about each service. For one that is called `registry`, or `registry-auth`,
/// they begin like ours.
fn is_from_kubernetes(name: &str, value: &str) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    let has_scheme = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_protocol = |part: &str| matches!(part, "TCP" | "UDP" | "SCTP");
    match parts.as_slice() {
        [.., "SERVICE", "HOST"] | [.., "SERVICE", "PORT"] => true,
        [.., "PORT"] if has_scheme => true,
        [.., "PORT", number, protocol] | [.., "PORT", number, protocol, "PROTO" | "PORT" | "ADDR"]
            if is_number(number) && is_protocol(protocol) =>
        {
            true
        }
        _ => parts.windows(2).any(|pair| pair == ["SERVICE", "PORT"]) && is_number(value),
    }
}

/// Part by part, numbers by their value, so that the tenth item of a list comes after the second.
fn by_parts(a: &str, b: &str) -> Ordering {
    let order = |(a, b): (&str, &str)| match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    };
    let different = a.split('_').zip(b.split('_')).map(order).find(|order| order.is_ne());
    different.unwrap_or_else(|| a.len().cmp(&b.len()))
}

enum Refusal {
    Unknown { nearest: Option<String> },
    Wrong(Problem),
}

const UNKNOWN: Refusal = Refusal::Unknown { nearest: None };

/// One step down the tree.
enum Step {
    Name(String),
    Index(usize),
}

fn set(tree: &mut Node, variable: &str, value: &str) -> Result<(), Refusal> {
    let tokens: Vec<&str> = variable[PREFIX.len()..].split('_').collect();
    if tokens.len() > VARIABLE_PARTS_MAX || tokens.contains(&"") {
        return Err(UNKNOWN);
    }
    // The whole way is found before anything is made, so that a misspelt variable leaves no empty section behind: an
    // empty `filesystem` would choose a driver.
    let (steps, kind) = way(tree, &tokens)?;
    let mut node = read(value, kind, &steps)?;
    node.set_variable(&Rc::from(variable));
    *at(tree, &steps)? = node;
    Ok(())
}

fn read(value: &str, kind: Kind, steps: &[Step]) -> Result<Node, Refusal> {
    match kind {
        Kind::Scalar => return Ok(text(value)),
        // Lists are in brackets, or one item below the other. All else that was meant is one item.
        Kind::Scalars | Kind::Entry if !is_list(value) => return Ok(text(value)),
        _ => {}
    }
    match (yaml::parse(value), kind) {
        (Ok(node), Kind::Anything) if matches!(node.value, Value::Scalar(_)) => Ok(text(value)),
        (Ok(node), _) => Ok(node),
        // A log line's field may begin with a bracket.
        (Err(_), Kind::Entry) => Ok(text(value)),
        (Err(problems), _) => {
            let wrong = problems.into_iter().next().map(|problem| problem.wrong).unwrap_or_default();
            Err(Refusal::Wrong(Problem::new(key_of(steps), wrong, "a value in YAML")))
        }
    }
}

/// A value as it stands, or what is in quotes, if all of it is. Line breaks at its end do not count: files of secrets have
/// them.
fn text(value: &str) -> Node {
    let value = value.trim_end_matches(['\r', '\n']);
    match yaml::quoted_text(value.trim()) {
        Some(quoted) => Node::scalar(quoted),
        None if value.is_empty() => Node::default(),
        None => Node::scalar(value),
    }
}

fn is_list(value: &str) -> bool {
    let value = value.trim_start();
    value.starts_with('[') || value.starts_with("- ")
}

fn key_of(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |key, step| match step {
        Step::Name(name) => join(&key, name),
        Step::Index(index) => format!("{key}[{index}]"),
    })
}

/// Which way `tokens` lead: by the names of the schema where it knows them, by those in the tree otherwise.
fn way(tree: &Node, tokens: &[&str]) -> Result<(Vec<Step>, Kind), Refusal> {
    let mut steps = Vec::new();
    let mut node = Some(tree);
    let mut kind = Kind::Section(ROOT);
    let mut rest = tokens;
    while let Some(token) = rest.first() {
        let mut taken = 1;
        match kind {
            Kind::Scalar => return Err(UNKNOWN),
            Kind::Section(keys) | Kind::Choice(keys) | Kind::Growing(keys) => match find(keys, rest) {
                Some((key, matched)) => {
                    steps.push(Step::Name(key.name.to_owned()));
                    (kind, taken) = (key.kind, matched);
                }
                None if matches!(kind, Kind::Choice(_) | Kind::Growing(_)) => {
                    steps.push(Step::Name(name_for(node, token)));
                    kind = Kind::Anything;
                }
                None => return Err(Refusal::Unknown { nearest: nearest_variable(keys, tokens, rest) }),
            },
            Kind::Scalars | Kind::Entry => {
                steps.push(index(node, token, &steps)?);
                kind = Kind::Scalar;
            }
            Kind::Sections(keys) => {
                steps.push(index(node, token, &steps)?);
                kind = Kind::Section(keys);
            }
            Kind::Map => {
                steps.push(Step::Name(name_for(node, token)));
                kind = Kind::Entry;
            }
            Kind::Anything => {
                let is_list = matches!(node.map(|node| &node.value), Some(Value::Sequence(_)));
                steps.push(if is_list {
                    index(node, token, &steps)?
                } else {
                    Step::Name(name_for(node, token))
                });
                kind = Kind::Anything;
            }
        }
        node = steps.last().and_then(|step| below(node?, step));
        rest = &rest[taken..];
    }
    Ok((steps, kind))
}

fn find(keys: &'static [Key], tokens: &[&str]) -> Option<(&'static Key, usize)> {
    let matches = keys.iter().filter_map(|key| Some((key, key.matched_tokens(tokens)?)));
    matches.max_by_key(|(_, matched)| *matched)
}

/// The key that is there already in another case, otherwise a new one in lower case.
fn name_for(node: Option<&Node>, token: &str) -> String {
    let names = match node.map(|node| &node.value) {
        Some(Value::Mapping(entries)) => entries.as_slice(),
        _ => &[],
    };
    let existing =
        names.iter().map(|(name, _)| name).find(|name| name.to_uppercase() == token.to_uppercase());
    existing.cloned().unwrap_or_else(|| token.to_lowercase())
}

fn index(node: Option<&Node>, token: &str, steps: &[Step]) -> Result<Step, Refusal> {
    let length = match node.map(|node| &node.value) {
        Some(Value::Sequence(items)) => items.len(),
        Some(Value::Scalar(text)) if !text.is_empty() => 1,
        _ => 0,
    };
    let index: usize = token.parse().map_err(|_| UNKNOWN)?;
    if index > length {
        let wrong = format!("there is no item {index} in a list of {length}");
        let problem =
            Problem::new(key_of(steps), wrong, format!("an index of at most {length}, which appends"));
        return Err(Refusal::Wrong(problem));
    }
    Ok(Step::Index(index))
}

fn below<'a>(node: &'a Node, step: &Step) -> Option<&'a Node> {
    match (&node.value, step) {
        (Value::Mapping(_), Step::Name(name)) => node.get(name),
        (Value::Sequence(items), Step::Index(index)) => items.get(*index),
        _ => None,
    }
}

/// The place at the end of the way, made if need be.
fn at<'a>(tree: &'a mut Node, steps: &[Step]) -> Result<&'a mut Node, Refusal> {
    let mut node = tree;
    for (depth, step) in steps.iter().enumerate() {
        prepare(node, step, is_choice(&steps[..depth]));
        node = match (&mut node.value, step) {
            (Value::Mapping(entries), Step::Name(name)) => {
                let position = entries.iter().position(|(key, _)| key == name).unwrap_or(entries.len());
                if position == entries.len() {
                    entries.push((name.clone(), Node::default()));
                }
                &mut entries[position].1
            }
            (Value::Sequence(items), Step::Index(index)) => {
                if *index == items.len() {
                    items.push(Node::default());
                }
                items.get_mut(*index).ok_or(UNKNOWN)?
            }
            (value, _) => {
                let wrong = format!("there is {} already", value.describe());
                return Err(Refusal::Wrong(Problem::new(
                    key_of(&steps[..depth]),
                    wrong,
                    "a section or nothing",
                )));
            }
        };
    }
    Ok(node)
}

fn is_choice(steps: &[Step]) -> bool {
    match steps {
        [Step::Name(name)] => ROOT.iter().any(|key| key.name == name && matches!(key.kind, Kind::Choice(_))),
        _ => false,
    }
}

/// Turns what says nothing into a section or a list, `storage: inmemory` into a section with that key, and a single value
/// into a list of one.
fn prepare(node: &mut Node, step: &Step, is_choice: bool) {
    match (&node.value, step) {
        (Value::Null, Step::Name(_)) => node.value = Value::Mapping(Vec::new()),
        (Value::Null, Step::Index(_)) => node.value = Value::Sequence(Vec::new()),
        (Value::Scalar(text), Step::Name(_)) if text.is_empty() => node.value = Value::Mapping(Vec::new()),
        (Value::Scalar(text), Step::Name(_)) if is_choice => {
            let chosen =
                (text.clone(), Node { value: Value::Null, variable: node.variable.clone(), line: node.line });
            node.value = Value::Mapping(vec![chosen]);
        }
        (Value::Scalar(_), Step::Index(_)) => {
            let first = node.clone();
            node.value = Value::Sequence(vec![first]);
        }
        _ => {}
    }
}

fn nearest_variable(keys: &[Key], tokens: &[&str], rest: &[&str]) -> Option<String> {
    if let [one] = tokens
        && ["ADDR", "ADDRESS", "LISTEN", "PORT"].contains(one)
    {
        return Some(format!("{PREFIX}HTTP_ADDR"));
    }
    let known = nearest(rest.first()?, keys.iter().map(|key| key.name))?;
    let before = &tokens[..tokens.len() - rest.len()];
    let parts: Vec<String> =
        before.iter().map(|part| (*part).to_owned()).chain([known.to_uppercase()]).collect();
    let after = rest[1..].iter().map(|part| format!("_{part}")).collect::<String>();
    Some(format!("{PREFIX}{}{after}", parts.join("_")))
}

#[cfg(test)]
mod tests;
