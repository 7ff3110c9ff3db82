//! Cleanup policies of GitLab.

use registry_types::{
    Pattern,
    retention::{Action, Order, Policy, Rule, Since, State},
};

use super::{Object, age, number};

pub(super) fn policies(document: &Object<'_>, repositories: &Pattern) -> Vec<Policy> {
    // A project has much more to tell.
    for key in ["container_expiration_policy", "container_expiration_policy_attributes"] {
        if let Some(policy) = document.object(key) {
            return vec![policy_of(&policy, repositories)];
        }
    }
    vec![policy_of(document, repositories)]
}

fn policy_of(policy: &Object<'_>, repositories: &Pattern) -> Policy {
    policy.skip(&["next_run_at"]);
    if policy.get("cadence").is_some() {
        policy.comment("cadence", "retention.interval says how often");
    }
    if policy.flag("enabled") == Some(false) {
        policy.comment("enabled", "is false there");
    }
    let delete = policy.text("name_regex_delete").or_else(|| policy.text("name_regex"));
    policy.skip(&["name_regex_delete", "name_regex"]);
    let tags = match delete {
        Some(text) => regex(text, policy, "name_regex_delete"),
        None => {
            policy.problem("name_regex_delete", "is missing");
            None
        }
    };
    let keep = policy.text("name_regex_keep").filter(|text| !text.is_empty());
    let keep = keep.and_then(|text| regex(text, policy, "name_regex_keep"));
    let count = number(policy, "keep_n");
    let older_than = age(policy, "older_than");
    policy.done();
    if count.is_some() || older_than.is_some() {
        policy.notes.comment(
            "GitLab goes by when an image was built; here it counts when it came into the repository",
        );
    }
    let rule = Rule {
        name: Some("cleanup".to_owned()),
        state: State::Tagged,
        tags: tags.into_iter().collect(),
        except: "latest".parse().ok().into_iter().chain(keep).collect(),
        older_than,
        since: if older_than.is_some() { Since::Created } else { Since::default() },
        count,
        by: if count.is_some() { Order::Created } else { Order::default() },
        ..Rule::new(Action::Expire)
    };
    Policy { repositories: vec![repositories.clone()], rules: vec![rule] }
}

/// Matches whole names there as well.
fn regex(text: &str, policy: &Object<'_>, key: &str) -> Option<Pattern> {
    match format!("re:{text}").parse() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            policy.problem(key, error.to_string());
            None
        }
    }
}
