//! Lifecycle policies of Amazon's Elastic Container Registry.

use registry_types::{
    Pattern,
    retention::{Action, Order, Policy, Rule, Since, State},
};

use super::{Object, days, number, pattern, prefix};

/// An image that an earlier rule is about is out of reach of later ones, whether it goes or not.
#[derive(Default)]
struct Taken {
    tags: Vec<Pattern>,
    is_untagged: bool,
}

pub(super) fn policies(document: &Object<'_>, repositories: &Pattern) -> Vec<Policy> {
    let mut rules: Vec<(u64, Object<'_>)> =
        document.objects("rules").into_iter().map(|rule| (priority(&rule), rule)).collect();
    document.done();
    rules.sort_by_key(|(priority, _)| *priority);
    let mut taken = Taken::default();
    let rules = rules.iter().filter_map(|(_, rule)| translate(rule, &mut taken)).collect();
    vec![Policy { repositories: vec![repositories.clone()], rules }]
}

fn priority(rule: &Object<'_>) -> u64 {
    let priority = rule.get("rulePriority").and_then(serde_json::Value::as_u64);
    if priority.is_none() {
        rule.problem("rulePriority", "is no number");
    }
    priority.unwrap_or(0)
}

fn translate(rule: &Object<'_>, taken: &mut Taken) -> Option<Rule> {
    let name = rule.text("description").map(str::to_owned);
    let action = rule.object("action");
    let selection = rule.object("selection");
    rule.done();
    let (Some(action), Some(selection)) = (action, selection) else {
        rule.problem("selection", "or action is missing");
        return None;
    };
    if action.required_text("type") != "expire" {
        action.problem("type", "only `expire` can be translated: there is no archive");
    }
    action.skip(&["targetStorageClass"]);
    action.done();
    let mut read = Rule { name, since: Since::Created, ..Rule::new(Action::Expire) };
    select(&selection, &mut read);
    count(&selection, &mut read);
    selection.done();
    Some(without_taken(&selection, read, taken))
}

fn select(selection: &Object<'_>, rule: &mut Rule) {
    if selection.text("storageClass").is_some_and(|class| class != "standard") {
        selection.problem("storageClass", "there is no archive");
    }
    rule.state = match selection.required_text("tagStatus") {
        "tagged" => State::Tagged,
        "untagged" => State::Untagged,
        "any" => State::Any,
        other => {
            selection.problem("tagStatus", format!("`{other}` is not known"));
            State::Tagged
        }
    };
    let (patterns, prefixes) = (selection.texts("tagPatternList"), selection.texts("tagPrefixList"));
    if patterns.len() + prefixes.len() > 1 {
        let wrong = "an image must have a tag for each of several patterns; that can not be said here";
        selection.problem("tagPatternList", wrong);
    }
    let patterns = patterns.iter().filter_map(|text| pattern(text, selection, "tagPatternList"));
    let prefixes = prefixes.iter().filter_map(|text| prefix(text, selection, "tagPrefixList"));
    rule.tags = patterns.chain(prefixes).collect();
    if rule.state != State::Tagged && !rule.tags.is_empty() {
        selection.problem("tagStatus", "must be `tagged` beside patterns");
    }
    if rule.state == State::Tagged && rule.tags.is_empty() {
        selection.problem("tagPatternList", "is missing");
    }
}

fn count(selection: &Object<'_>, rule: &mut Rule) {
    let count = number(selection, "countNumber");
    if selection.get("countNumber").is_none() {
        selection.problem("countNumber", "is missing");
    }
    let unit = selection.text("countUnit");
    match selection.required_text("countType") {
        "imageCountMoreThan" => {
            (rule.count, rule.by, rule.since) = (count, Order::Created, Since::default());
        }
        "sinceImagePushed" => {
            if unit != Some("days") {
                selection.problem("countUnit", "is not `days`");
            }
            rule.older_than = count.map(days);
        }
        other => selection.problem("countType", format!("`{other}` can not be translated")),
    }
}

fn without_taken(selection: &Object<'_>, mut rule: Rule, taken: &mut Taken) -> Rule {
    let own = rule.tags.clone();
    if rule.means_tagged() && !taken.tags.is_empty() {
        rule.except.clone_from(&taken.tags);
        if rule.count.is_some() {
            let text = "what earlier rules are about is not counted here, so more may stay";
            selection.comment("countNumber", text);
        }
    }
    match rule.state {
        State::Untagged => taken.is_untagged = true,
        State::Any if taken.is_untagged => {
            rule.state = State::Tagged;
            if rule.count.is_some() {
                selection.comment(
                    "countNumber",
                    "untagged images, which an earlier rule is about, are not counted here",
                );
            }
            if rule.takes_everything() {
                selection.problem("tagStatus", "can not be translated");
            }
        }
        State::Any | State::Tagged => {}
    }
    taken.tags.extend(own);
    rule
}
