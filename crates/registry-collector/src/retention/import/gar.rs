//! Cleanup policies of Google's Artifact Registry.

use registry_types::{
    Pattern,
    retention::{Action, Order, Policy, Rule, Since, State},
};
use serde_json::Value;

use super::{Notes, Object, age, number, prefix};

pub(super) fn policies(document: &Value, repositories: &Pattern, notes: &Notes) -> Vec<Policy> {
    let Some(items) = document.as_array() else {
        notes.problem("the file: is no list of policies".to_owned());
        return Vec::new();
    };
    let policy = |(index, item)| {
        let object = Object::of(item, &format!("[{index}]"), notes);
        let policy = policy(&object, repositories);
        object.done();
        policy
    };
    items.iter().enumerate().filter_map(policy).collect()
}

fn policy(object: &Object<'_>, repositories: &Pattern) -> Option<Policy> {
    let action = action(object)?;
    let mut rule = Rule { name: object.text("name").map(str::to_owned), ..Rule::new(action) };
    object.skip(&["id"]);
    let packages = match (object.object("condition"), object.object("mostRecentVersions")) {
        (Some(condition), None) => {
            read_condition(&condition, &mut rule);
            packages(&condition, repositories)
        }
        (None, Some(versions)) => {
            if action == Action::Expire {
                object.problem("mostRecentVersions", "is of policies that keep");
            }
            (rule.count, rule.by) = (number(&versions, "keepCount"), Order::Created);
            if rule.count.is_none() {
                versions.problem("keepCount", "is missing");
            }
            packages(&versions, repositories)
        }
        _ => {
            object.problem("condition", "or mostRecentVersions must be there, and not both");
            return None;
        }
    };
    Some(Policy { repositories: packages, rules: with_takes_all(rule) })
}

/// `{type: Delete}`, or the word alone.
fn action(object: &Object<'_>) -> Option<Action> {
    let word = match object.get("action") {
        Some(Value::String(word)) => word.as_str(),
        Some(_) => {
            let action = object.object("action")?;
            let word = action.required_text("type");
            action.done();
            word
        }
        None => "",
    };
    match word.to_ascii_lowercase().as_str() {
        "delete" => Some(Action::Expire),
        "keep" => Some(Action::Keep),
        _ => {
            object.problem("action", "is neither Delete nor Keep");
            None
        }
    }
}

fn read_condition(condition: &Object<'_>, rule: &mut Rule) {
    rule.state = match condition.text("tagState").unwrap_or("any").to_ascii_lowercase().as_str() {
        "tagged" => State::Tagged,
        "untagged" => State::Untagged,
        "any" | "tag_state_unspecified" => State::Any,
        other => {
            condition.problem("tagState", format!("`{other}` is not known"));
            State::Any
        }
    };
    let prefixes = condition.texts("tagPrefixes");
    rule.tags = prefixes.iter().filter_map(|text| prefix(text, condition, "tagPrefixes")).collect();
    if rule.state == State::Untagged && !rule.tags.is_empty() {
        condition.problem("tagPrefixes", "are of tags, and tagState is untagged");
    }
    if !condition.list("versionNamePrefixes").is_empty() {
        condition.problem("versionNamePrefixes", "can not be translated: no rule is about digests");
    }
    (rule.older_than, rule.newer_than) = (age(condition, "olderThan"), age(condition, "newerThan"));
    if rule.older_than.is_some() || rule.newer_than.is_some() {
        rule.since = Since::Created;
    }
}

/// A package is a repository here.
fn packages(object: &Object<'_>, repositories: &Pattern) -> Vec<Pattern> {
    let prefixes = object.texts("packageNamePrefixes");
    object.done();
    if prefixes.is_empty() {
        return vec![repositories.clone()];
    }
    let Some(base) = repositories.as_str().strip_suffix("**").filter(|base| !base.contains('*')) else {
        object.problem(
            "packageNamePrefixes",
            "need a pattern of repositories that ends with **, and no other star",
        );
        return Vec::new();
    };
    object.notes.comment("packages are taken for repositories");
    let pattern = |text: &&str| super::pattern(&format!("{base}{text}**"), object, "packageNamePrefixes");
    prefixes.iter().filter_map(pattern).collect()
}

/// A rule that takes everything has to be said as two.
fn with_takes_all(rule: Rule) -> Vec<Rule> {
    if rule.takes_everything() {
        let all = "**".parse().into_iter().collect();
        let tagged = Rule { tags: all, state: State::Tagged, ..rule.clone() };
        let untagged = Rule { state: State::Untagged, ..rule.clone() };
        return if rule.state == State::Tagged { vec![tagged] } else { vec![tagged, untagged] };
    }
    vec![rule]
}
