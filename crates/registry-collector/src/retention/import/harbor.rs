//! Tag retention policies of Harbor: what no rule retains goes.

use registry_types::{
    Pattern,
    retention::{Action, Order, Policy, Rule, Since, State},
};
use serde_json::Value;

use super::{Object, days, number, pattern};

const PUSH_COUNTS: &str = "a push counts as a pull here, so more may stay";

pub(super) fn policies(document: &Object<'_>, repositories: &Pattern) -> Vec<Policy> {
    document.skip(&["id", "scope"]);
    if document.get("trigger").is_some() {
        document.comment("trigger", "retention.interval says when");
    }
    if document.text("algorithm").is_some_and(|algorithm| algorithm != "or") {
        document.problem("algorithm", "is not `or`");
    }
    let rules = document.objects("rules");
    document.done();
    let policies: Vec<Policy> = rules.iter().filter_map(|rule| policy(rule, repositories)).collect();
    let rest = policies.iter().fold(Vec::new(), |mut all: Vec<Pattern>, policy| {
        all.extend(
            policy.repositories.iter().filter(|pattern| !all.contains(pattern)).cloned().collect::<Vec<_>>(),
        );
        all
    });
    if rest.is_empty() {
        return Vec::new();
    }
    let name = |text: &str| Some(text.to_owned());
    let tagged = Rule {
        name: name("tags that no rule keeps"),
        tags: "**".parse().into_iter().collect(),
        ..Rule::new(Action::Expire)
    };
    let untagged = Rule {
        name: name("untagged images that no rule keeps"),
        state: State::Untagged,
        ..Rule::new(Action::Expire)
    };
    let rest = Policy { repositories: rest, rules: vec![tagged, untagged] };
    policies.into_iter().chain([rest]).collect()
}

/// None if it is switched off.
fn policy(rule: &Object<'_>, base: &Pattern) -> Option<Policy> {
    rule.skip(&["id", "priority"]);
    if rule.text("action").is_some_and(|action| action != "retain") {
        rule.problem("action", "is not `retain`");
    }
    let is_disabled = rule.flag("disabled") == Some(true);
    let mut kept = Rule::new(Action::Keep);
    template(rule, &mut kept);
    let includes_untagged = tags(rule, &mut kept);
    let repositories = repositories(rule, base);
    rule.done();
    if is_disabled {
        rule.comment("disabled", "is left out");
        return None;
    }
    let is_about_all = kept.tags.is_empty() && kept.except.is_empty();
    let rules = match (includes_untagged, is_about_all) {
        (true, true) => vec![kept],
        (false, _) => vec![Rule { state: State::Tagged, ..kept }],
        (true, false) => {
            if kept.count.is_some() {
                rule.comment("tag_selectors", "untagged images are counted apart here, so more may stay");
            }
            let untagged =
                Rule { state: State::Untagged, tags: Vec::new(), except: Vec::new(), ..kept.clone() };
            vec![Rule { state: State::Tagged, ..kept }, untagged]
        }
    };
    Some(Policy { repositories, rules })
}

fn template(rule: &Object<'_>, kept: &mut Rule) {
    let template = rule.required_text("template");
    let params = rule.object("params");
    let param = |key: &'static str| {
        let count = params.as_ref().and_then(|params| number(params, key));
        if count.is_none() {
            rule.problem("params", format!("has no {key}"));
        }
        count
    };
    match template {
        "always" => {}
        "latestPushedK" => (kept.count, kept.by) = (param("latestPushedK"), Order::Created),
        "latestActiveK" => (kept.count, kept.by) = (param("latestActiveK"), Order::Pulled),
        "latestPulledN" => {
            (kept.count, kept.by) = (param("latestPulledN"), Order::Pulled);
            rule.comment("template", "a push counts as a pull here: those pushed last are among the newest");
        }
        "nDaysSinceLastPush" => {
            (kept.newer_than, kept.since) = (param("nDaysSinceLastPush").map(days), Since::Created);
        }
        "nDaysSinceLastPull" => {
            (kept.newer_than, kept.since) = (param("nDaysSinceLastPull").map(days), Since::Pulled);
            rule.comment("template", PUSH_COUNTS);
        }
        other => rule.problem("template", format!("`{other}` is not known")),
    }
    if let Some(params) = &params {
        params.done();
    }
}

/// Whether the rule is about untagged images as well.
fn tags(rule: &Object<'_>, kept: &mut Rule) -> bool {
    let mut includes_untagged = false;
    for selector in rule.objects("tag_selectors") {
        let text = doublestar(&selector);
        let found = pattern(text, &selector, "pattern");
        match selector.required_text("decoration") {
            "matches" => kept.tags.extend(found.filter(|_| text != "**" && text != "*")),
            "excludes" => kept.except.extend(found),
            other => selector.problem("decoration", format!("`{other}` is not known")),
        }
        includes_untagged |= untagged(&selector);
        selector.done();
    }
    if rule.list("tag_selectors").len() > 1 {
        rule.problem("tag_selectors", "more than one can not be translated");
    }
    includes_untagged
}

/// JSON within JSON: `{"untagged":true}`.
fn untagged(selector: &Object<'_>) -> bool {
    let Some(text) = selector.text("extras").filter(|text| !text.is_empty()) else { return false };
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(extras)) if extras.keys().all(|key| key == "untagged") => {
            extras.get("untagged") == Some(&Value::Bool(true))
        }
        _ => {
            selector.problem("extras", format!("`{text}` is not known"));
            false
        }
    }
}

fn doublestar<'a>(selector: &Object<'a>) -> &'a str {
    if selector.text("kind").is_some_and(|kind| kind != "doublestar") {
        selector.problem("kind", "is not `doublestar`");
    }
    selector.required_text("pattern")
}

/// Within the project that the policy is of.
fn repositories(rule: &Object<'_>, base: &Pattern) -> Vec<Pattern> {
    let Some(scope) = rule.object("scope_selectors") else { return vec![base.clone()] };
    let mut found = Vec::new();
    for selector in scope.objects("repository") {
        let text = doublestar(&selector);
        if selector.required_text("decoration") != "repoMatches" {
            selector.problem("decoration", "only `repoMatches` can be translated");
        }
        selector.skip(&["extras"]);
        selector.done();
        match base.as_str().strip_suffix("**") {
            _ if text == "**" => found.push(base.clone()),
            Some(before) => found.extend(pattern(&format!("{before}{text}"), &selector, "pattern")),
            None => selector.problem("pattern", "needs --repositories with the project, such as project/**"),
        }
    }
    scope.done();
    if found.is_empty() { vec![base.clone()] } else { found }
}
