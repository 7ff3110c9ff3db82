use std::time::Duration;

use registry_config::Retention;
use registry_types::retention::{Action, Order, Since, State, fingerprint, yaml};

use crate::{warnings, with};

const DAY: Duration = Duration::from_secs(24 * 3600);

const POLICIES: &str = "
version: 0.1
retention:
  enabled: true
  interval: 10m
  policies:
    - repositories: [team/**]
      rules:
        - {name: releases, action: keep, semver: '>=1, <3', newest: 10, by: semver}
        - {action: keep, newer_than: 8w, since: pulled}
        - {action: expire, tags: ['dev-*', 're:pr-[0-9]+'], except: dev-main, older_than: 30d}
    - repositories: '**'
      rules:
        - {action: expire, state: untagged, older_than: 36h, since: created}
        - {action: expire, state: tagged, beyond: 100, by: pulled}
";

fn retention(yaml: &str) -> Retention {
    with(yaml, &[]).expect("the policies are right").config.retention
}

#[test]
fn policies_are_read_rule_by_rule() {
    let read = retention(POLICIES);
    assert_eq!((read.enabled, read.interval, read.policies.len()), (true, Duration::from_secs(600), 2));
    let rules = &read.policies[0].rules;
    assert_eq!(rules[0].name.as_deref(), Some("releases"));
    assert_eq!((rules[0].action, rules[0].count, rules[0].by), (Action::Keep, Some(10), Order::Semver));
    assert_eq!((rules[1].newer_than, rules[1].since), (Some(56 * DAY), Since::Pulled));
    assert_eq!(rules[2].tags.len() + rules[2].except.len(), 3);
    assert_eq!((rules[2].action, rules[2].older_than), (Action::Expire, Some(30 * DAY)));
    let rules = &read.policies[1].rules;
    assert_eq!((rules[0].state, rules[0].older_than), (State::Untagged, Some(DAY + DAY / 2)));
    assert_eq!((rules[1].state, rules[1].count, rules[1].by), (State::Tagged, Some(100), Order::Pulled));
}

#[test]
fn what_is_written_is_read_again_as_the_same() {
    let read = retention(POLICIES);
    let again = retention(&format!("version: 0.1\n{}", yaml(&read.policies)));
    assert_eq!(again.policies, read.policies);
    assert!(!again.enabled);
}

#[test]
fn policies_that_were_not_approved_are_told_of() {
    let loaded = with(POLICIES, &[]).unwrap();
    assert!(!loaded.config.retention.is_approved());
    assert!(warnings(&loaded)[0].starts_with("retention.approved: "), "{:?}", loaded.warnings);
    let print = fingerprint(&loaded.config.retention.policies);
    assert!(!warnings(&loaded)[0].contains(&print), "only a preview tells it");
    let approved = with(POLICIES, &[("REGISTRY_RETENTION_APPROVED", &print)]).unwrap();
    assert!(approved.config.retention.is_approved());
    assert_eq!(warnings(&approved), [""; 0]);
    let changed = POLICIES.replace("beyond: 100", "beyond: 10");
    assert!(
        !with(&changed, &[("REGISTRY_RETENTION_APPROVED", &print)]).unwrap().config.retention.is_approved()
    );
}

#[test]
fn what_can_not_be_meant_is_refused() {
    for (rule, problem) in [
        ("{tags: [a]}", "rules[0].action: is missing; expected keep or expire"),
        ("{action: archive}", "rules[0].action: is \"archive\"; expected one of keep, expire"),
        ("{action: expire}", "rules[0]: expires everything; expected a condition"),
        ("{action: expire, state: tagged}", "rules[0]: expires everything"),
        (
            "{action: expire, tgas: [a], older_than: 1d}",
            "rules[0].tgas: is not known; expected tags, or no such key",
        ),
        ("{action: expire, tags: [], older_than: 1d}", "rules[0].tags: is empty; expected a value"),
        ("{action: expire, tags: , older_than: 1d}", "rules[0].tags: is empty"),
        ("{action: expire, newest: 10}", "rules[0].newest: is of rules that keep; expected beyond"),
        ("{action: keep, beyond: 10}", "rules[0].beyond: is of rules that expire; expected newest"),
        ("{action: keep, newest: 0}", "rules[0].newest: is \"0\"; expected a whole number from 1 to 10000"),
        ("{action: keep, tags: ['re:(']}", "rules[0].tags[0]: is \"re:(\"; expected a pattern"),
        ("{action: keep, semver: new}", "rules[0].semver: is \"new\"; expected a range of versions"),
        (
            "{action: keep, older_than: 30}",
            "rules[0].older_than: is \"30\"; expected an age such as 12h, 30d or 8w",
        ),
        ("{action: keep, older_than: 0d}", "rules[0].older_than: is \"0d\""),
        (
            "{action: keep, newer_than: 1h, since: pulled}",
            "rules[0].newer_than: is shorter than a pull is known by",
        ),
        ("{action: keep, since: pulled}", "rules[0].since: stands without an age"),
        ("{action: keep, by: semver}", "rules[0].by: stands without a number"),
        (
            "{action: expire, state: untagged, tags: [a]}",
            "rules[0].state: is untagged, and other keys are about tags",
        ),
    ] {
        let yaml =
            format!("version: 0.1\nretention: {{policies: [{{repositories: ['**'], rules: [{rule}]}}]}}");
        let text = with(&yaml, &[]).unwrap_err().to_string().replace(" (line 2)", "");
        let expected = format!("retention.policies[0].{problem}");
        assert!(text.lines().any(|line| line.starts_with(&expected)), "{rule}: {text}");
    }
    for (policy, problem) in [
        ("{rules: [{action: keep}]}", "repositories: is missing; expected patterns such as team/**"),
        ("{repositories: [a]}", "rules: is missing; expected a list of rules"),
        ("{repository: [a], rules: [{action: keep}]}", "repository: is not known; expected repositories"),
    ] {
        let text =
            with(&format!("version: 0.1\nretention: {{policies: [{policy}]}}"), &[]).unwrap_err().to_string();
        let text = text.replace(" (line 2)", "");
        assert!(text.contains(&format!("retention.policies[0].{problem}")), "{policy}: {text}");
    }
}
